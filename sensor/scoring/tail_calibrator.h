// Computes how rare a number is in its series: a histogram that slowly forgets, with an exponential tail.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace coil::sensor {

// Numbers are >= 0, most of them below 1. Plain data. One thread at a time.
class TailCalibrator {
 public:
  // -log10 of the share of numbers at least this large among those added so far: 0 for usual values, 3 for one in a
  // thousand. [any thread]
  double surprisal(double value) const noexcept {
    if (!(value > 0)) return 0;
    const size_t bin = bin_of(value);
    double below = 0;  // mass in the value's bin, and below it
    for (size_t i = 0; i <= bin; ++i) below += mass_[i];
    const double total = total_ + kPriorMass;
    // The tail starts where too few numbers remain for counting.
    const double tail_mass = std::max(kTailShare * total_, kTailLeast);
    double beyond = 0, moment = 0;
    size_t first = kBins;
    if (total_ - below < tail_mass) {
      while (first > 0 && beyond < tail_mass) {
        --first;
        beyond += mass_[first];
        moment += mass_[first] * 0.5 * (lower_edge(first) + lower_edge(first + 1));
      }
    }
    const double threshold = first == kBins ? 0 : lower_edge(first);
    if (first == kBins || value <= threshold) {
      const double part = (value - lower_edge(bin)) / (lower_edge(bin + 1) - lower_edge(bin));
      const double share = (total_ - below + (1 - part) * mass_[bin] + prior_beyond(value)) / total;
      return std::max(0.0, -std::log10(share));
    }
    const double mean_excess = (moment - beyond * threshold + kPriorTail * kPriorExcess) / (beyond + kPriorTail);
    const double share = (beyond + prior_beyond(threshold)) / total;
    return std::max(0.0, -std::log10(share) + (value - threshold) / mean_excess / std::log(10.0));
  }

  void add(double value) noexcept {
    mass_[bin_of(std::min(value, kLargest))] += 1;
    total_ += 1;
    if (total_ < kMemory) return;
    for (float& mass : mass_) mass *= kForget;
    total_ *= kForget;
  }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(mass_, total_);
  }

 private:
  static constexpr size_t kBins = 48, kFineBins = 24;
  static constexpr double kFineWidth = 1.0 / 12, kGrowth = 1.12;  // beyond the fine bins, each bin is wider than the
                                                                  // previous one
  static constexpr double kLargest = 25;
  static constexpr double kTailShare = 0.02, kTailLeast = 8;  // of the numbers belong to the tail
  static constexpr double kPriorMass = 20;                    // the prior: as if this many numbers of a perfect
                                                              // forecaster had been seen
  static constexpr double kPriorTail = 2,
                          kPriorExcess = 0.16;  // and this many beyond the start of the tail, with this mean excess
  static constexpr double kMemory = 10000;      // numbers; older ones fade
  static constexpr float kForget = 0.5f;

  static double prior_beyond(double value) noexcept { return kPriorMass * std::exp(-std::log(10.0) * value); }
  static double lower_edge(size_t bin) noexcept {
    static const std::array<double, kBins + 1> kEdges = [] {
      std::array<double, kBins + 1> edges = {};
      double width = kFineWidth;
      for (size_t i = 0; i < kBins; ++i) {
        if (i >= kFineBins) width *= kGrowth;
        edges[i + 1] = edges[i] + width;
      }
      return edges;
    }();
    return kEdges[bin];
  }
  static size_t bin_of(double value) noexcept {
    if (value < kFineBins * kFineWidth) return static_cast<size_t>(std::max(0.0, value) / kFineWidth);
    size_t bin = kFineBins;
    while (bin + 1 < kBins && value >= lower_edge(bin + 1)) ++bin;
    return bin;
  }

  std::array<float, kBins> mass_ = {};
  double total_ = 0;
};

}  // namespace coil::sensor
