// Finds the season of a series, and mixes its repetition with the model's forecasts.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "sensor/scoring/gap_forecast.h"

namespace coil::sensor {

// Forecasts of a season for one horizon; NaN: none.
struct SeasonForecast {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  double repeated = kNone;  // the value at the same place of the last season
  double shifted = kNone;   // that, moved by as much as the last value differs from its own

  template <class Fields>
  void visit(Fields&& fields) {
    fields(repeated, shifted);
  }
};

// The length of the season is the lag whose values differ least from the present ones. Plain data. One thread at a
// time.
class Season {
 public:
  static constexpr size_t kLongest = 448;

  // After `past` got a value.
  void see(const RecentValues& past) noexcept;
  // For `steps` steps after the last value, at most kHorizons.
  SeasonForecast forecast(const RecentValues& past, size_t steps) const noexcept;
  size_t length() const noexcept { return length_; }  // 0: not known yet

  template <class Fields>
  void visit(Fields&& fields) {
    fields(seen_, length_, differences_);
  }

 private:
  uint64_t seen_ = 0;
  uint64_t length_ = 0;
  std::array<double, kLongest + 1> differences_ = {};  // mean absolute ones of values so many steps apart
};

// For one horizon: weighs the model's median and the season's forecasts by their errors so far. Plain data. One thread
// at a time.
class SeasonMixture {
 public:
  // What was forecast for one step.
  struct Medians {
    double model = SeasonForecast::kNone, mixed = SeasonForecast::kNone;
    SeasonForecast season;

    template <class Fields>
    void visit(Fields&& fields) {
      fields(model, mixed, season);
    }
  };

  // A value, and what was forecast for it.
  void see(const Medians& forecast, double value) noexcept;
  // The model's forecast, moved to the weighted median and as much narrower as its errors became smaller. `medians`
  // gets what see() needs later.
  QuantileForecast mixed(const QuantileForecast& model, const SeasonForecast& season, size_t horizon,
                         Medians& medians) const noexcept;

  template <class Fields>
  void visit(Fields&& fields) {
    fields(model_, mixed_, repeated_, shifted_);
  }

 private:
  struct Error {
    double mean = 0;  // absolute
    double count = 0;

    void see(double forecast, double value) noexcept;
    template <class Fields>
    void visit(Fields&& fields) {
      fields(mean, count);
    }
  };

  Error model_, mixed_, repeated_, shifted_;
};

}  // namespace coil::sensor
