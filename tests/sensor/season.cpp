// The season of a series, and its mixture with a model's forecasts.
#include "sensor/scoring/season.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "sensor/scoring/bounds_calibration.h"
#include "sensor/state/bytes.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;
using sensor::CalibratedHorizons;
using sensor::QuantileForecast;
using sensor::RecentValues;
using sensor::Season;

constexpr size_t kSteps = 6;
constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

double day(double t) { return std::sin(2 * std::numbers::pi * t / 24) + 0.4 * std::cos(2 * std::numbers::pi * t / 8); }

QuantileForecast around(double median) {
  QuantileForecast forecast{.reference = median, .scale = 1};
  for (size_t i = 0; i < sensor::kQuantiles; ++i)
    forecast.quantiles[i] = static_cast<float>(0.2 * (static_cast<double>(i) - 4));
  return forecast;
}

struct Errors {
  double model = 0, mixed = 0, width = 0;
};

// Mean errors from the 400th of 800 values on, of forecasts kSteps ahead; `value(t)` may be no number.
Errors run(const std::function<double(int)>& value, const std::function<double(int)>& model) {
  CalibratedHorizons horizons;
  horizons.use(std::array{kSteps});
  RecentValues past;
  Errors errors;
  int count = 0, gap = 1;
  for (int t = 0; t < 800; ++t) {
    const double now = value(t);
    if (std::isnan(now)) {
      horizons.add(0, around(model(t)), nullptr);
      horizons.next_step();
      ++gap;
      continue;
    }
    if (gap > 1) horizons.forget_pending();
    past.add(now, std::exchange(gap, 1));
    horizons.see(now, past);
    const QuantileForecast forecast = horizons.add(0, around(model(t)), &past);
    horizons.next_step();
    const double actual = value(t + int(kSteps));
    if (t < 400 || std::isnan(actual)) continue;
    errors.model += std::fabs(model(t) - actual), errors.mixed += std::fabs(forecast.median() - actual);
    errors.width += forecast.high() - forecast.low(), ++count;
  }
  return {errors.model / count, errors.mixed / count, errors.width / count};
}

TEST_CASE("the length of a season is found, also with values missing") {
  for (const size_t length : {2, 7, 24, 168, 400}) {
    Season season;
    RecentValues past;
    const auto value = [&](size_t t) { return std::sin(static_cast<double>(t % length) * 12.3); };
    size_t steps = 1;
    CHECK(season.length() == 0);
    for (size_t t = 0; t < 1000; ++t) {
      if (t % 11 == 3) {
        ++steps;
        continue;
      }
      past.add(value(t), static_cast<double>(std::exchange(steps, 1)));
      season.see(past);
    }
    CHECK(season.length() == length);
    const sensor::SeasonForecast next = season.forecast(past, 1);
    CHECK((std::isnan(next.repeated) || next.repeated == value(1000)));
    CHECK((std::isnan(season.forecast(past, 64).repeated) || season.forecast(past, 64).repeated == value(1063)));
  }
}

TEST_CASE("a model that misses the season is outweighed by its repetition, and the bounds become as narrow") {
  const Errors errors = run(day, [](int) { return 0.0; });
  CHECK(errors.model > 0.5);
  CHECK(errors.mixed < 1e-3);
  CHECK(errors.width < 0.2);
}

TEST_CASE("a season on a trend is shifted to the present level") {
  const Errors errors = run([](int t) { return day(t) + 0.005 * t; }, [](int t) { return 0.005 * t; });
  CHECK(errors.mixed < 0.5 * errors.model);
}

TEST_CASE("a model that is better than the season stays as it is") {
  test::Random random(5);
  std::vector<double> noise(900);
  for (double& one : noise) one = random.normal();
  const Errors errors =
      run([&](int t) { return day(t) + noise[size_t(t)]; }, [](int t) { return day(t + int(kSteps)); });
  CHECK(errors.mixed == Approx(errors.model).epsilon(0.03));
}

TEST_CASE("missing values are left out of the mixture") {
  const Errors errors = run([](int t) { return t % 50 == 20 ? kNoValue : day(t); }, [](int) { return 0.0; });
  CHECK(errors.mixed < 0.2 * errors.model);
}

TEST_CASE("a season and its mixture continue from their bytes") {
  CalibratedHorizons before, after;
  before.use(std::array{kSteps});
  RecentValues past;
  const auto step = [&](CalibratedHorizons& horizons, double value) {
    horizons.see(value, past);
    const double median = horizons.add(0, around(0), &past).median();
    horizons.next_step();
    return median;
  };
  for (int t = 0; t < 300; ++t) past.add(day(t)), step(before, day(t));
  sensor::Bytes bytes;
  sensor::ByteWriter writer(bytes);
  before.write(writer), before.write_season(writer);
  sensor::ByteReader reader(bytes);
  after.read(reader), after.read_season(reader);
  CHECK(reader.at_end());
  for (int t = 300; t < 400; ++t) {
    past.add(day(t));
    const double expected = step(before, day(t));
    CHECK(std::fabs(expected - day(t + int(kSteps))) < 1e-3);
    CHECK(step(after, day(t)) == expected);
  }
}

}  // namespace
