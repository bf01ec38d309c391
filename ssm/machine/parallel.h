// A fixed set of threads that share the items of a loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace coil::ssm {

// One thread at a time owns and uses it, and takes part in the work. [main-thread]
class ThreadPool {
 public:
  explicit ThreadPool(size_t threads) {
    for (size_t i = 1; i < threads; ++i)
      workers_.emplace_back([this, i](std::stop_token stop) { wait_for_work(stop, i); });
  }
  ~ThreadPool() {
    for (std::jthread& worker : workers_) worker.request_stop();
  }

  size_t threads() const { return workers_.size() + 1; }

  // Calls body(item, thread) for every item below `items`, with thread from 0 to threads() - 1. Returns when all are
  // done. The body must not throw.
  void for_each(size_t items, const std::function<void(size_t, size_t)>& body) {
    {
      const std::lock_guard lock(mutex_);
      body_ = &body, items_ = items, next_ = 0, busy_ = workers_.size(), ++round_;
    }
    wake_.notify_all();
    take_items(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
  }

 private:
  void take_items(size_t thread) {
    for (size_t item; (item = next_.fetch_add(1)) < items_;) (*body_)(item, thread);
  }

  void wait_for_work(std::stop_token stop, size_t thread) {
    size_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        if (!wake_.wait(lock, stop, [&] { return round_ != seen; })) return;
        seen = round_;
      }
      take_items(thread);
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any wake_, done_;
  const std::function<void(size_t, size_t)>* body_ = nullptr;
  size_t items_ = 0, busy_ = 0, round_ = 0;
  std::atomic<size_t> next_ = 0;
  std::vector<std::jthread> workers_;  // declared last: joined before the members that they use are destroyed
};

}  // namespace coil::ssm
