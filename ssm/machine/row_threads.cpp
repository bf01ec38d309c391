// How RowThreads hands out items: by one atomic number that all threads watch.
#include "ssm/machine/row_threads.h"

#include "hwy/cache_control.h"

namespace coil::ssm {
namespace {

constexpr uint64_t kItems = 0xffffffff;
constexpr int kSpins = 8000;  // some 100 microseconds: longer than what a layer does between two large products

}  // namespace

RowThreads::RowThreads(size_t threads) {
  for (size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

RowThreads::~RowThreads() {
  stop_ = true;
  left_.fetch_add(kItems + 1);
  left_.notify_all();
}

bool RowThreads::take_item(uint64_t& round) noexcept {
  uint64_t left = left_.load(std::memory_order_acquire);
  do {
    if ((left & kItems) == 0) return false;
  } while (!left_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire));
  if (left >> 32 != round) {
    round = left >> 32;
    std::fesetenv(&environment_);
  }
  body_(context_, size_t(left & kItems) - 1);
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

void RowThreads::share(size_t items, Item body, const void* context) noexcept {
  body_ = body, context_ = context;
  std::fegetenv(&environment_);
  done_.store(0, std::memory_order_relaxed);
  uint64_t round = (left_.load(std::memory_order_relaxed) >> 32) + 1;
  left_.store(round << 32 | items, std::memory_order_release);
  left_.notify_all();
  while (take_item(round)) {
  }
  for (int spins = 0; done_.load(std::memory_order_acquire) != items;)
    if (++spins > kSpins)
      std::this_thread::yield();
    else
      hwy::Pause();
}

void RowThreads::work() noexcept {
  uint64_t round = 0;
  for (int spins = 0; !stop_.load(std::memory_order_relaxed);) {
    if (take_item(round)) {
      spins = 0;
    } else if (++spins < kSpins) {
      hwy::Pause();
    } else {
      const uint64_t seen = left_.load(std::memory_order_acquire);
      if ((seen & kItems) == 0 && !stop_) left_.wait(seen);
      spins = 0;
    }
  }
}

}  // namespace coil::ssm
