#include "kernels/thread_pool.h"

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
    threads_.emplace_back([this, t, on_start] {
      if (on_start != nullptr) on_start();
      work(t);
    });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void ThreadPool::take_tasks(int thread) {
  while (true) {
    const std::int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
    if (task >= n_tasks_) return;
    try {
      call_(body_, task, thread);
    } catch (...) {
      const std::lock_guard lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }
}

void ThreadPool::work(int thread) {
  std::uint32_t round = 0;
  while (true) {
    wait_while(round_, round);
    ++round;
    if (stopping_.load()) return;
    take_tasks(thread);
    if (n_working_.fetch_sub(1, std::memory_order_acq_rel) == 1) n_working_.notify_one();
  }
}

void ThreadPool::run_erased(std::int64_t n_tasks, Call call, void* body) {
  if (threads_.empty() || n_tasks <= 1) {
    for (std::int64_t task = 0; task < n_tasks; ++task) call(body, task, 0);
    return;
  }
  call_ = call;
  body_ = body;
  n_tasks_ = n_tasks;
  next_task_.store(0, std::memory_order_relaxed);
  n_working_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  take_tasks(0);
  for (int left = n_working_.load(std::memory_order_acquire); left != 0;
       left = n_working_.load(std::memory_order_acquire)) {
    wait_while(n_working_, left);
  }
  if (failure_) {
    const std::exception_ptr failure = failure_;
    failure_ = nullptr;
    std::rethrow_exception(failure);
  }
}

}  // namespace tovamill
