// Bounds that are fitted to a series: the shares of values below and above them.
#include "sensor/scoring/bounds_calibration.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/random_network.h"

namespace {

using namespace coil;
using sensor::BoundsCalibration;
using sensor::CalibratedHorizons;
using sensor::QuantileForecast;

// Bounds `below` and `above` the median 0; the tenths of a normal distribution lie at 1.28.
QuantileForecast forecast_with(double below, double above) {
  QuantileForecast forecast{.reference = 0, .scale = 1};
  for (size_t i = 0; i < sensor::kQuantiles; ++i) {
    const double share = static_cast<double>(i) / 4 - 1;
    forecast.quantiles[i] = static_cast<float>(std::asinh(share < 0 ? share * below : share * above));
  }
  return forecast;
}

struct Shares {
  double below = 0, above = 0;
};

Shares shares(const QuantileForecast& forecast, size_t horizon) {
  constexpr int kLearnt = 2000, kCounted = 4000;
  test::Random random(3);
  BoundsCalibration bounds;
  Shares shares;
  for (int t = 0; t < kLearnt + kCounted; ++t) {
    const double value = random.normal();
    const QuantileForecast fitted = bounds.fitted(forecast);
    if (t >= kLearnt) shares.below += value<fitted.low(), shares.above += value> fitted.high();
    bounds.see(forecast, value, horizon);
  }
  return {shares.below / kCounted, shares.above / kCounted};
}

TEST_CASE("bounds that are too narrow, too wide or lopsided are fitted") {
  for (const auto& [below, above] : {std::pair(1.28, 1.28), {0.7, 0.6}, {3.0, 3.2}, {0.8, 2.5}}) {
    for (const size_t horizon : {1, 16}) {
      INFO(below << ", " << above << ", " << horizon);
      const Shares found = shares(forecast_with(below, above), horizon);
      CHECK(found.below == Approx(0.1).margin(0.01));
      CHECK(found.above == Approx(0.1).margin(0.01));
    }
  }
}

TEST_CASE("fitting moves only the bounds, and stops at a factor") {
  const QuantileForecast forecast = forecast_with(1, 1);
  BoundsCalibration bounds;
  CHECK(bounds.fitted(forecast).quantiles == forecast.quantiles);
  for (int t = 0; t < 1000; ++t) bounds.see(forecast, 50, 1);
  const QuantileForecast fitted = bounds.fitted(forecast);
  CHECK(std::equal(fitted.quantiles.begin() + 1, fitted.quantiles.end() - 1, forecast.quantiles.begin() + 1));
  CHECK(fitted.quantiles.back() / forecast.quantiles.back() == Approx(std::exp(1.2)));
  CHECK(fitted.quantiles.front() / forecast.quantiles.front() == Approx(std::exp(-1.2)));
  BoundsCalibration none;
  for (int t = 0; t < 10; ++t) none.see(QuantileForecast(), 50, 1);
  CHECK(none.fitted(forecast).quantiles == forecast.quantiles);
}

TEST_CASE("a forecast is compared with the value of its own time") {
  constexpr std::array<size_t, 2> kSteps = {1, 7};
  const auto at = [](double value) {
    QuantileForecast forecast = forecast_with(1, 1);
    forecast.reference = value;
    return forecast;
  };
  CalibratedHorizons horizons;
  sensor::RecentValues past;
  horizons.use(kSteps);
  // The forecasts name the value exactly, so that both bounds narrow.
  const auto run = [&](int from, int to) {
    QuantileForecast last;
    for (int t = from; t < to; ++t) {
      past.add(100.0 * t);
      horizons.see(100.0 * t, past);
      for (size_t i = 0; i < kSteps.size(); ++i) last = horizons.add(i, at(100.0 * (t + double(kSteps[i]))), nullptr);
      horizons.next_step();
    }
    return last.high() - last.low();
  };
  const double width = run(0, 200);
  CHECK(width < 1.8);
  horizons.forget_pending();  // their values have not come
  CHECK(run(1000, 1400) < width);
  horizons.use(std::array<size_t, 1>{7});
  CHECK(horizons.add(0, at(0), nullptr).high() == Approx(at(0).high()));
}

}  // namespace
