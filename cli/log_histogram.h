// A histogram of integers of any size in constant memory, for percentiles accurate to 0.4 %.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace coil::cli {

// Values below 512 have one bucket each; above, each octave has 256 buckets. One thread at a time. 117 KB: too large
// for the stack.
class LogHistogram {
 public:
  void add(uint64_t value, uint64_t times = 1) noexcept {  // [audio-thread]
    const int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kBits);
    counts_[kOctave * static_cast<size_t>(shift) + (value >> shift)] += times;
    count_ += times;
    largest_ = std::max(largest_, value);
  }
  void add(const LogHistogram& other) noexcept {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    largest_ = std::max(largest_, other.largest_);
  }

  uint64_t count() const { return count_; }
  uint64_t largest() const { return largest_; }

  // Nearest rank: the smallest value such that `percent` (0 to 100) of all values are not larger, rounded up by at most
  // 1/256; 0 if there are no values.
  uint64_t percentile(double percent) const {
    const uint64_t rank =
        std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(percent / 100 * static_cast<double>(count_))));
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= rank) return std::min(upper_limit(i), largest_);
    }
    return largest_;
  }

 private:
  static constexpr int kBits = 9;
  static constexpr size_t kOctave = size_t{1} << (kBits - 1);

  static uint64_t upper_limit(size_t bucket) {
    const size_t shift = bucket < 2 * kOctave ? 0 : bucket / kOctave - 1;
    const uint64_t first = static_cast<uint64_t>(bucket - shift * kOctave) << shift;
    return first + ((uint64_t{1} << shift) - 1);
  }

  std::array<uint64_t, kOctave*(64 - kBits + 2)> counts_ = {};
  uint64_t count_ = 0, largest_ = 0;
};

}  // namespace coil::cli
