#include "kernels/cpu/thread_pool.h"

#include <system_error>

namespace tovamill {
namespace {

// Loops follow each other within microseconds inside a step; between steps the threads go to sleep.
constexpr int kSpins = 4000;

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

template <class T>
void wait_while(std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_cpu();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int n_threads, void (*on_start)()) {
  if (on_start != nullptr) on_start();
  for (int t = 1; t < n_threads; ++t) {
    try {
      threads_.emplace_back([this, t, on_start] {
        if (on_start != nullptr) on_start();
        work(t);
      });
    } catch (const std::system_error&) {
      return;  // a limit of threads or memory: fewer do the same
    }
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& t : threads_) t.join();
}

// A thread that comes late finds the next task of a later loop, or none: it never takes one of a
// loop that is over, for what it exchanges names the loop.
void ThreadPool::take_tasks(int thread) {
  std::uint64_t next = next_task_.load(std::memory_order_acquire);
  while (true) {
    const std::uint64_t task = next & kTaskBits;
    if (task >= n_tasks_.load(std::memory_order_acquire)) return;
    if (!next_task_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire))
      continue;
    try {
      call_(body_, static_cast<std::int64_t>(task), thread);
    } catch (...) {
      const std::lock_guard lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
    if (n_left_.fetch_sub(1, std::memory_order_acq_rel) == 1) n_left_.notify_one();
    next = next_task_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  std::uint32_t round = 0;
  while (true) {
    wait_while(round_, round);
    round = round_.load(std::memory_order_acquire);
    if (stopping_.load()) return;
    take_tasks(thread);
  }
}

// Waits for the tasks, not for the threads: on a busy machine one may come when all is done.
void ThreadPool::run_erased(std::int64_t n_tasks, Call call, void* body) {
  if (threads_.empty() || n_tasks <= 1) {
    for (std::int64_t task = 0; task < n_tasks; ++task) call(body, task, 0);
    return;
  }
  const std::uint64_t loop = std::uint64_t{++n_loops_} << kTaskBitCount;
  next_task_.store(loop | kTaskBits, std::memory_order_release);  // none while all of it changes
  call_ = call;
  body_ = body;
  // Whoever sees this sees that the loop before is over.
  n_tasks_.store(static_cast<std::uint64_t>(n_tasks), std::memory_order_release);
  n_left_.store(static_cast<std::int32_t>(n_tasks), std::memory_order_relaxed);
  next_task_.store(loop, std::memory_order_release);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  take_tasks(0);
  for (std::int32_t left = n_left_.load(std::memory_order_acquire); left != 0;
       left = n_left_.load(std::memory_order_acquire)) {
    wait_while(n_left_, left);
  }
  if (failure_) {
    const std::exception_ptr failure = failure_;
    failure_ = nullptr;
    std::rethrow_exception(failure);
  }
}

}  // namespace tovamill
