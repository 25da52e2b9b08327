// A fixed set of threads that share loops of independent tasks. What a task computes never depends
// on which thread takes it, so results do not depend on the number of threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace tovamill {

class ThreadPool {
 public:
  // `n_threads` in all, the calling one included; fewer where the system gives no more. `on_start`
  // runs once on each thread before its first task.
  explicit ThreadPool(int n_threads, void (*on_start)() = nullptr);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls body(task, thread) for each task in [0, n_tasks), handed out in order; returns when all
  // are done, fewer than 2^31. No allocation. The first exception of a task is thrown here once the
  // loop has ended.
  template <class Body>
  void run(std::int64_t n_tasks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run_erased(
        n_tasks,
        [](void* b, std::int64_t task, int thread) { (*static_cast<Plain*>(b))(task, thread); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* body, std::int64_t task, int thread);
  void run_erased(std::int64_t n_tasks, Call call, void* body);
  void work(int thread);
  void take_tasks(int thread);

  std::vector<std::thread> threads_;
  Call call_ = nullptr;
  void* body_ = nullptr;
  std::uint32_t n_loops_ = 0;
  std::exception_ptr failure_;
  std::mutex failure_mutex_;
  alignas(64) std::atomic<std::uint32_t> round_{0};  // one more for each loop
  // The loop's number above the task's; kTaskBits of them: none.
  static constexpr int kTaskBitCount = 32;
  static constexpr std::uint64_t kTaskBits = (std::uint64_t{1} << kTaskBitCount) - 1;
  alignas(64) std::atomic<std::uint64_t> next_task_{kTaskBits};
  std::atomic<std::uint64_t> n_tasks_{0};
  alignas(64) std::atomic<std::int32_t> n_left_{0};  // tasks that are not through
  std::atomic<bool> stopping_{false};
};

}  // namespace tovamill
