// Threads that share the parts of one task.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace coil::sensor {

// One caller at a time. Waiting threads first poll for a moment before they sleep, because waking up takes longer than
// the work on a few records.
class WorkerPool {
 public:
  // `threads` includes the caller's own; 1: no others.
  explicit WorkerPool(size_t threads) {
    for (size_t share = 1; share < threads; ++share) workers_.emplace_back([this, share] { work(share); });
  }
  ~WorkerPool() {
    ends_ = true;
    start();
    for (std::thread& worker : workers_) worker.join();
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  size_t size() const { return workers_.size() + 1; }

  // Runs task(share) for every share from 0 to size() - 1 in parallel, and returns when all are done. Rethrows the
  // first exception of a task.
  void run(const std::function<void(size_t)>& task) {
    task_ = &task;
    left_ = workers_.size();
    start();
    attempt(0);
    const auto done = [this] { return left_.load() == 0; };
    while (!soon(done)) {
      if (const size_t left = left_.load(); left > 0) left_.wait(left);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  static constexpr std::chrono::microseconds kAwake{50};

  // Polls for a moment; returns whether the event happened.
  template <class Event>
  static bool soon(const Event& event) {
    constexpr int kLooks = 64;  // polls between two looks at the clock
    const auto until = std::chrono::steady_clock::now() + kAwake;
    do {
      for (int i = 0; i < kLooks; ++i) {
        if (event()) return true;
        pause();
      }
    } while (std::chrono::steady_clock::now() < until);
    return event();
  }
  // Tells the core that this is a polling loop.
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  void start() {
    ++round_;
    round_.notify_all();
  }
  void attempt(size_t share) {
    try {
      (*task_)(share);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
  void work(size_t share) {
    for (uint32_t seen = 0;;) {
      if (!soon([&] { return round_.load() != seen; })) round_.wait(seen);
      seen = round_.load();
      if (ends_) return;
      attempt(share);
      if (--left_ == 0) left_.notify_one();
    }
  }

  std::vector<std::thread> workers_;
  const std::function<void(size_t)>* task_ = nullptr;
  std::atomic<uint32_t> round_{0};
  std::atomic<size_t> left_{0};
  std::atomic<bool> ends_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace coil::sensor
