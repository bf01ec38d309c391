// Hands values from one thread to another; whoever is ahead waits.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

namespace coil::cli {

// One thread pushes, one pops.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t most) : most_(most) {}

  // Waits while the queue is full. False: abandon() was called, nobody will pop.
  bool push(T value) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return values_.size() < most_ || abandoned_; });
    if (abandoned_) return false;
    values_.push_back(std::move(value));
    changed_.notify_one();
    return true;
  }
  // No more will be pushed. `reason`, if any, is thrown by pop() after the values that came before.
  void close(std::exception_ptr reason = nullptr) {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    reason_ = reason;
    changed_.notify_one();
  }

  // Waits for a value; none: the queue was closed.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !values_.empty() || closed_; });
    if (values_.empty()) {
      if (reason_) std::rethrow_exception(reason_);
      return std::nullopt;
    }
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    changed_.notify_one();
    return value;
  }
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    changed_.notify_one();
  }

 private:
  const size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> values_;
  bool closed_ = false, abandoned_ = false;
  std::exception_ptr reason_;
};

}  // namespace coil::cli
