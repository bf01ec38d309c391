// Passes values from one thread to another; the faster one waits.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

namespace coil::cli {

// One thread pushes, one thread pops.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t most) : most_(most) {}

  // Waits while the queue is full. Returns false if abandon() was called, because nobody will pop.
  bool push(T value) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return values_.size() < most_ || abandoned_; });
    if (abandoned_) return false;
    values_.push_back(std::move(value));
    changed_.notify_one();
    return true;
  }
  // Nothing more will be pushed. pop() throws `reason`, if any, after the remaining values.
  void close(std::exception_ptr reason = nullptr) {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    reason_ = reason;
    changed_.notify_one();
  }

  // Waits for a value; nullopt: the queue was closed.
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
