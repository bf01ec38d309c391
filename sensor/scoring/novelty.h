// How far a number lies beyond all before it, as far as that is rare for its series.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace coil::sensor {

// A stationary series leaves its range ever more rarely, others go on leaving it; how often and how far is counted.
// Plain data. One thread at a time.
class Novelty {
 public:
  // -log10 of how rarely the series leaves its range, plus surprisal for how far it goes now compared with the times
  // before; 0 within the range. Neither scale nor offset of the numbers matters. [any thread]
  double observe(double number) noexcept {
    if (count_ == 0) lowest_ = highest_ = number;
    const double range = highest_ - lowest_, out = std::max(number - highest_, lowest_ - number),
                 n = static_cast<double>(count_);
    lowest_ = std::min(lowest_, number), highest_ = std::max(highest_, number);
    ++count_;
    if (!(out > 0) || n < 2) return 0;
    // What rounding moves beyond the range is nothing new.
    const double share = std::min(1.0, out / std::max(kClearlyOut * range, kTiny));
    const double excess = std::min(std::log1p(out / std::max(range, kTiny)), kMostExcess);
    // Of n independent numbers the next sets a new extreme once in 2 / n times, and exceeds the last one by about range
    // / (2 log n).
    const double rate = (departures_ + 1) / (n + 1), mean_excess = (excess_ + 1 / std::log(n + 2)) / (departures_ + 2);
    departures_ += share;
    excess_ += share * std::min(excess, kMostRemembered);
    return share * std::max(0.0, -std::log10(rate) + excess / mean_excess / std::log(10.0));
  }

  // Whether a number that was observed lies in the upper half of all so far. [any thread]
  bool is_high(double number) const noexcept { return number - lowest_ > highest_ - number; }

  // Everything that is remembered, for state files.
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
  double departures_ = 0, excess_ = 0;  // times that the range was left, and the sum of how far
};

}  // namespace coil::sensor
