// Where a series should be after a gap: forecast from its own recent values, with an error that was tried out on them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "sensor/scoring/forecast.h"

namespace coil::sensor {

struct GapForecast {
  double expected = 0;
  double error = 0;  // mean distance of values from such forecasts; 0: there is no forecast
  double furthest =
      std::numeric_limits<double>::infinity();  // distance that hardly any value exceeds, where that is known

  bool exists() const noexcept { return error > 0; }
  // -log10 of how rarely a value is so far away, errors taken as exponential.
  double surprisal(double value) const noexcept;
  // The bounds lie `width` apart.
  QuantileForecast quantiles(double width) const noexcept;
  double width() const noexcept;
};

// How far apart a series' bounds are: further the longer a gap lasts. Plain data.
class GapBounds {
 public:
  // Of a value without a gap. [any thread]
  void see(double width) noexcept { usual_ = width; }
  // So many steps into a gap. [any thread]
  QuantileForecast widened(const GapForecast& forecast, double steps) const noexcept;

  // Everything that is remembered, for state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(usual_);
  }

 private:
  double usual_ = 0;
};

// The last values of a series, one for each step of its rhythm. Plain data. One thread at a time.
class RecentValues {
 public:
  static constexpr size_t kSteps = 512;

  // A value, so many steps after the last one. [any thread]
  void add(double value, double steps = 1) noexcept;
  // Of the value that comes so many steps after the last one; `least_error`: of any forecast of this series. [any
  // thread]
  GapForecast forecast(double steps, double least_error) noexcept;
  // Has the memory of the next step come.
  void prefetch() const noexcept { fetch_ahead(&values_[next_], sizeof(double)); }

  // Everything that is remembered, for state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(next_, count_, period_, period_age_, values_);
  }

 private:
  void push(double value) noexcept;

  uint32_t next_ = 0, count_ = 0;
  uint32_t period_ = 0, period_age_ = 0;    // in steps; values since it was found
  std::array<double, kSteps> values_ = {};  // NaN: missing
};

}  // namespace coil::sensor
