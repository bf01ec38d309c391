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

// Of all horizons that are asked for, with the forecasts whose values have not come yet. One thread at a time.
class CalibratedHorizons {
 public:
  // Forgets everything if these are other horizons than before.
  void use(std::span<const size_t> horizons) {
    const auto same = [](const Horizon& one, size_t steps) { return one.steps == steps; };
    if (std::equal(each_.begin(), each_.end(), horizons.begin(), horizons.end(), same)) return;
    each_.clear();
    for (const size_t steps : horizons) each_.push_back({steps, {}, std::vector<QuantileForecast>(steps)});
  }
  // The value of this step.
  void see(double value) noexcept {
    for (Horizon& one : each_) one.bounds.see(one.pending[step_ % one.steps], value, one.steps);
  }
  // This step's forecast for the horizon with this index; returns it with fitted bounds.
  QuantileForecast add(size_t index, const QuantileForecast& forecast) noexcept {
    Horizon& one = each_[index];
    return one.bounds.fitted(one.pending[step_ % one.steps] = forecast);
  }
  void next_step() noexcept { ++step_; }
  // After a gap, what is pending belongs to no step.
  void forget_pending() noexcept {
    for (Horizon& one : each_) std::fill(one.pending.begin(), one.pending.end(), QuantileForecast());
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
    for (; count > 0; --count) {
      const auto steps = reader.template value<uint64_t>();
      if (steps == 0 || steps > kHorizons) throw Error("has a horizon of " + std::to_string(steps) + " steps");
      Horizon& one = each_.emplace_back(Horizon{steps, {}, std::vector<QuantileForecast>(steps)});
      reader.object(one.bounds);
      for (QuantileForecast& forecast : one.pending) reader.object(forecast);
    }
  }

 private:
  struct Horizon {
    size_t steps;
    BoundsCalibration bounds;
    std::vector<QuantileForecast> pending;  // a ring
  };

  uint64_t step_ = 0;
  std::vector<Horizon> each_;
};

}  // namespace coil::sensor
