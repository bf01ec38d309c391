// Measures the share of a block's time that processing takes.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>

namespace coil::plugin {

// The system sometimes takes the processor away in the middle of a block. Such a block would count as the plugin's own
// time, and asking the system for that time would be a system call. So blocks are examined in groups: the median
// of a group, and its second longest block, which a single interruption does not change.
class LoadMeter {
 public:
  // Times one block: from constructor to destructor. [audio-thread]
  class Block {
   public:
    Block(LoadMeter& meter, int frames, double sample_rate_hz) noexcept
        : meter_(meter), available_s_(frames / sample_rate_hz), begin_(std::chrono::steady_clock::now()) {}
    ~Block() {
      if (available_s_ > 0)
        meter_.add(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(), available_s_);
    }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

   private:
    LoadMeter& meter_;
    double available_s_;
    std::chrono::steady_clock::time_point begin_;
  };

  // Shares of a block's time: the median of the last group, and the second longest block of any group since reset().
  // [any thread]
  float median() const noexcept { return median_.load(std::memory_order_relaxed); }
  float worst() const noexcept { return worst_.load(std::memory_order_relaxed); }
  void reset() noexcept { worst_ = 0; }

  // Adds a block that took `taken_s` of `available_s`. [audio-thread]
  void add(double taken_s, double available_s) noexcept {
    group_[count_++] = float(taken_s / available_s);
    group_s_ += available_s;
    if (count_ < kLongestGroup && (count_ < kShortestGroup || group_s_ < kGroupSeconds)) return;
    const auto begin = group_.begin(), end = begin + long(count_);
    std::sort(begin, end);
    median_.store(group_[count_ / 2], std::memory_order_relaxed);
    if (const float second = group_[count_ - 2]; second > worst()) worst_.store(second, std::memory_order_relaxed);
    count_ = 0;
    group_s_ = 0;
  }

 private:
  static constexpr size_t kShortestGroup = 8, kLongestGroup = 128;  // in blocks
  static constexpr double kGroupSeconds = 0.5;

  std::atomic<float> median_{0}, worst_{0};
  std::array<float, kLongestGroup> group_{};
  size_t count_ = 0;
  double group_s_ = 0;
};

}  // namespace coil::plugin
