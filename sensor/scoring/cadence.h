// Learns how regularly a series arrives, and tells gaps from irregular sampling.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace coil::sensor {

inline constexpr int kLongestFilledGap = 256;  // steps

// Plain data. One thread at a time.
class Cadence {
 public:
  // The time between two records.
  struct Passage {
    int missing = 0;        // missing steps of a regular series, to be passed to the model one by one
    double elapsed = 1;     // typical intervals since the last record; a whole number if the rhythm was kept
    float interval = 0;     // log2(interval / typical interval) / 2, within -3 to 3; 0 if the rhythm was kept
    bool long_gap = false;  // more than kLongestFilledGap steps are missing
  };

  explicit Cadence(int window = 256) : window_(window) {}

  // `interval_s`: the time since the last record, in seconds; 0 or less: unknown. [any thread]
  Passage advance(double interval_s) noexcept {
    Passage passage;
    if (!(interval_s > 0)) return passage;
    if (intervals_ == 0) log2_typical_ = std::log2(interval_s);
    const double octaves = std::log2(interval_s) - log2_typical_, ratio = std::exp2(std::min(octaves, 40.0));
    const double steps = std::max(1.0, std::round(ratio));
    const double off =
        std::min(1.0, std::fabs(ratio - steps) / std::max(1.0, kDrift * steps));  // distance from a whole number of
                                                                                  // steps
    passage.elapsed = ratio;
    ++intervals_;
    const double rate = std::max(1 / static_cast<double>(intervals_), 1.0 / window_);
    irregularity_ += rate * (off - irregularity_);
    const bool regular = is_regular() && off < 2 * kRegular;
    if (!regular || steps <= kLongestFilledGap + 1)
      log2_typical_ += rate * (regular ? octaves - std::log2(steps) : octaves);
    if (regular) passage.elapsed = steps;
    if (regular && steps <= kLongestFilledGap + 1) {
      passage.missing = static_cast<int>(steps) - 1;
    } else {
      passage.interval =
          intervals_ == 1 ? 0 : static_cast<float>(std::clamp(std::log2(interval_s) - log2_typical_, -6.0, 6.0) / 2);
      passage.long_gap = steps > kLongestFilledGap + 1;
    }
    return passage;
  }

  bool is_regular() const noexcept { return intervals_ > kKnown && irregularity_ < kRegular; }
  double typical_interval_s() const noexcept { return intervals_ == 0 ? 0 : std::exp2(log2_typical_); }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(intervals_, window_, log2_typical_, irregularity_);
  }

 private:
  static constexpr double kRegular = 0.1;  // mean distance from whole steps, in steps; for random intervals it is 0.25
  static constexpr int64_t kKnown = 4;     // intervals needed to recognise a rhythm
  static constexpr double kDrift = 0.1;    // share of a gap's length that an inexact typical interval may explain

  int64_t intervals_ = 0, window_;
  double log2_typical_ = 0, irregularity_ = 0;
};

}  // namespace coil::sensor
