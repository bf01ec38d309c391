// A barrier for threads that meet a thousand times a second: waking a sleeping thread would take too long.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hwy/cache_control.h"

namespace coil::capture {

class Barrier {
 public:
  explicit Barrier(size_t threads) : threads_(threads) {}

  // Everything that a thread did before is visible to all threads afterwards.
  void arrive_and_wait() {
    const uint32_t phase = phase_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      phase_.notify_all();
      return;
    }
    for (int i = 0; i < kPauses; ++i) {
      if (phase_.load(std::memory_order_acquire) != phase) return;
      hwy::Pause();
    }
    phase_.wait(phase, std::memory_order_acquire);
  }

 private:
  static constexpr int kPauses = 2000;  // some 50 microseconds

  const size_t threads_;
  std::atomic<size_t> arrived_ = 0;
  std::atomic<uint32_t> phase_ = 0;
};

}  // namespace coil::capture
