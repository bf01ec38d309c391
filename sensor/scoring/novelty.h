// Measures how far a number lies beyond the previous range, and how rare that is for the series.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace coil::sensor {

// A stationary series leaves its range more and more rarely; others keep leaving it. So the class counts how often and
// how far. Plain data. One thread at a time.
class Novelty {
 public:
  // -log10 of how rarely the series leaves its range, plus the surprisal of this distance compared with earlier ones; 0
  // inside the range. Independent of scale and offset. [any thread]
  double observe(double number) noexcept {
    if (count_ == 0) lowest_ = highest_ = number;
    const double range = highest_ - lowest_, out = std::max(number - highest_, lowest_ - number),
                 n = static_cast<double>(count_);
    lowest_ = std::min(lowest_, number), highest_ = std::max(highest_, number);
    ++count_;
    if (!(out > 0) || n < 2) return 0;
    // Exceeding the range by a rounding error is not news.
    const double share = std::min(1.0, out / std::max(kClearlyOut * range, kTiny));
    const double excess = std::min(std::log1p(out / std::max(range, kTiny)), kMostExcess);
    // Of n independent numbers, the next one is a new extreme with probability 2 / n, and exceeds the last extreme by
    // about range / (2 log n).
    const double rate = (departures_ + 1) / (n + 1), mean_excess = (excess_ + 1 / std::log(n + 2)) / (departures_ + 2);
    departures_ += share;
    excess_ += share * std::min(excess, kMostRemembered);
    return share * std::max(0.0, -std::log10(rate) + excess / mean_excess / std::log(10.0));
  }

  // Whether the last observed number lies in the upper half of the range. [any thread]
  bool is_high(double number) const noexcept { return number - lowest_ > highest_ - number; }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(count_, lowest_, highest_, departures_, excess_);
  }

 private:
  static constexpr double kClearlyOut = 1e-3;  // of the range
  static constexpr double kMostExcess = 3;     // logarithm of 1 + distance / range
  static constexpr double kMostRemembered = 1;
  static constexpr double kTiny = 1e-300;

  int64_t count_ = 0;
  double lowest_ = 0, highest_ = 0;
  double departures_ = 0, excess_ = 0;  // how often the range was left, and the sum of the distances
};

}  // namespace coil::sensor
