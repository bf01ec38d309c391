// Forecasts where a series should be after a gap, from its recent values, with an error that was measured on them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "sensor/scoring/forecast.h"

namespace coil::sensor {

struct GapForecast {
  double expected = 0;                                        // on the scale below
  double error = 0;                                           // mean error of such forecasts; 0: no forecast
  double furthest = std::numeric_limits<double>::infinity();  // distance that hardly any value exceeds, if it is known
  // Counts are forecast on the scale of 2 sqrt(n + 3/8), where their errors do not depend on their size (Anscombe
  // 1948).
  bool is_count = false;

  bool exists() const noexcept { return error > 0; }
  double scaled(double value) const noexcept;
  double value() const noexcept;  // that is expected
  // -log10 of the probability that a value is this far away, for exponential errors.
  double surprisal(double value) const noexcept;
  // The bounds are `width` apart.
  QuantileForecast quantiles(double width) const noexcept;
  double width() const noexcept;
};

// The width of a series' bounds: it grows with the length of a gap. Plain data.
class GapBounds {
 public:
  // The width for a value without a gap. [any thread]
  void see(double width) noexcept { usual_ = width; }
  // The forecast's bounds after `steps` steps of a gap. [any thread]
  QuantileForecast widened(const GapForecast& forecast, double steps) const noexcept;

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(usual_);
  }

 private:
  double usual_ = 0;
};

// The last values of a series, one per step of its rhythm. Plain data. One thread at a time.
class RecentValues {
 public:
  static constexpr size_t kSteps = 512;

  static constexpr size_t kMostInMean = 6;  // values of surprisal_of_mean()

  // Adds a value, `steps` steps after the previous one. [any thread]
  void add(double value, double steps = 1) noexcept;
  // The forecast for `steps` steps after the last value. `least_error`: a lower limit for the error of any forecast of
  // this series. [any thread]
  GapForecast forecast(double steps, double least_error) noexcept;
  // -log10 of how likely the mean of the last `count` values is, from the values before them. `steps`: to the first of
  // them. A change of the level that is too small to be seen in one value may be clear in a mean. [any thread]
  double surprisal_of_mean(double steps, size_t count, double least_error) noexcept;
  // How unusual it is that the last values are equal, as surprisal: 0 unless the series hardly ever repeated a value.
  // [any thread]
  double surprisal_of_standstill() const noexcept;
  // The value so many steps before the last one, less than kSteps; NaN: missing. [any thread]
  double back(size_t steps) const noexcept { return values_[(next_ + kSteps - 1 - steps) % kSteps]; }
  // Prefetches the memory of the next step.
  void prefetch() const noexcept { fetch_ahead(&values_[next_], sizeof(double)); }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(next_, count_, period_, period_age_, values_);
  }

 private:
  void push(double value) noexcept;
  struct Remembered;
  Remembered remembered(size_t left_out) const noexcept;
  GapForecast forecast_from(const Remembered& past, size_t in_row, double steps, double least_error) noexcept;

  uint32_t next_ = 0, count_ = 0;
  uint32_t period_ = 0, period_age_ = 0;    // in steps; values since it was found
  std::array<double, kSteps> values_ = {};  // NaN: missing
};

}  // namespace coil::sensor
