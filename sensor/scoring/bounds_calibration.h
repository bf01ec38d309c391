// Fits the bounds of forecasts to a series, so that about 10 % of its values lie below and 10 % above.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "sensor/scoring/forecast.h"
#include "sensor/scoring/season.h"

namespace coil::sensor {

// For one horizon. A bound moves out if a value lies beyond it, and a ninth as far in if not (online gradient descent
// of the quantile loss, as in adaptive conformal inference: Gibbs and Candès 2021). Plain data. One thread at a time.
class BoundsCalibration {
 public:
  // A value, and the forecast that was made for it `horizon` steps before.
  void see(const QuantileForecast& forecast, double value, size_t horizon) noexcept {
    if (!forecast.exists()) return;
    const QuantileForecast fitted = this->fitted(forecast);
    // The errors of so many steps in a row are about the same.
    const double rate = kRate / std::sqrt(static_cast<double>(horizon));
    const auto move = [rate](double& width, bool is_beyond) {
      width = std::clamp(width + rate * (is_beyond - kBeyond), -kMost, kMost);
    };
    move(low_, value < fitted.low());
    move(high_, value > fitted.high());
  }
  // Only the bounds change, the lowest and the highest quantile. [any thread]
  QuantileForecast fitted(QuantileForecast forecast) const noexcept {
    const float middle = forecast.quantiles[kQuantiles / 2];
    const auto widen = [middle](float& bound, double width) {
      const double moved = middle + (bound - middle) * std::exp(width);
      bound = std::clamp(static_cast<float>(moved), -kAsinhLimit, kAsinhLimit);
    };
    widen(forecast.quantiles.front(), low_);
    widen(forecast.quantiles.back(), high_);
    return forecast;
  }

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(low_, high_);
  }

 private:
  static constexpr double kRate = 0.02, kBeyond = 0.1;
  static constexpr double kMost = 1.2;  // a factor of 3.3

  double low_ = 0, high_ = 0;  // logarithms of the factors by which the bounds' distances from the median grow
};

// Of all horizons that are asked for: mixes the model's forecasts with the season's and fits their bounds. Keeps the
// forecasts whose values have not come yet. One thread at a time.
class CalibratedHorizons {
 public:
  // Forgets everything if these are other horizons than before.
  void use(std::span<const size_t> horizons) {
    const auto same = [](const Horizon& one, size_t steps) { return one.steps == steps; };
    if (std::equal(each_.begin(), each_.end(), horizons.begin(), horizons.end(), same)) return;
    each_.clear();
    season_.assign(horizons.empty() ? 0 : 1, Season());
    for (const size_t steps : horizons) each_.emplace_back(steps);
  }
  // The value of this step, which is the last one in `past`.
  void see(double value, const RecentValues& past) noexcept {
    if (each_.empty()) return;
    season_.front().see(past);
    for (Horizon& one : each_) {
      one.mixture.see(one.medians[step_ % one.steps], value);
      one.bounds.see(one.pending[step_ % one.steps], value, one.steps);
    }
  }
  // This step's forecast by the model for the horizon with this index; returns it mixed and with fitted bounds. `past`:
  // null if the step has no value, then nothing is mixed.
  QuantileForecast add(size_t index, const QuantileForecast& forecast, const RecentValues* past) noexcept {
    Horizon& one = each_[index];
    const SeasonForecast season = past ? season_.front().forecast(*past, one.steps) : SeasonForecast();
    const size_t place = step_ % one.steps;
    one.pending[place] = one.mixture.mixed(forecast, season, one.steps, one.medians[place]);
    return one.bounds.fitted(one.pending[place]);
  }
  void next_step() noexcept { ++step_; }
  // After a gap, what is pending belongs to no step.
  void forget_pending() noexcept {
    for (Horizon& one : each_) {
      std::fill(one.pending.begin(), one.pending.end(), QuantileForecast());
      std::fill(one.medians.begin(), one.medians.end(), SeasonMixture::Medians());
    }
  }

  template <class Writer>
  void write(Writer& writer) const {
    writer.value(static_cast<uint64_t>(each_.size()));
    writer.value(step_);
    for (const Horizon& one : each_) {
      writer.value(static_cast<uint64_t>(one.steps));
      writer.object(one.bounds);
      for (const QuantileForecast& forecast : one.pending) writer.object(forecast);
    }
  }
  template <class Reader>
  void read(Reader& reader) {
    each_.clear();
    auto count = reader.template value<uint64_t>();
    step_ = reader.template value<uint64_t>();
    season_.assign(count > 0 ? 1 : 0, Season());
    for (; count > 0; --count) {
      const auto steps = reader.template value<uint64_t>();
      if (steps == 0 || steps > kHorizons) throw Error("has a horizon of " + std::to_string(steps) + " steps");
      Horizon& one = each_.emplace_back(steps);
      reader.object(one.bounds);
      for (QuantileForecast& forecast : one.pending) reader.object(forecast);
    }
  }
  // What states of older versions lack.
  template <class Writer>
  void write_season(Writer& writer) const {
    for (const Season& season : season_) writer.object(season);
    for (const Horizon& one : each_) {
      writer.object(one.mixture);
      for (const SeasonMixture::Medians& medians : one.medians) writer.object(medians);
    }
  }
  template <class Reader>
  void read_season(Reader& reader) {
    for (Season& season : season_) reader.object(season);
    for (Horizon& one : each_) {
      reader.object(one.mixture);
      for (SeasonMixture::Medians& medians : one.medians) reader.object(medians);
    }
  }

 private:
  struct Horizon {
    explicit Horizon(size_t steps_ahead) : steps(steps_ahead), pending(steps), medians(steps) {}

    size_t steps;
    BoundsCalibration bounds;
    SeasonMixture mixture;
    std::vector<QuantileForecast> pending;        // a ring
    std::vector<SeasonMixture::Medians> medians;  // the same
  };

  uint64_t step_ = 0;
  std::vector<Horizon> each_;
  std::vector<Season> season_;  // one; none where no horizon is asked for, because it is large
};

}  // namespace coil::sensor
