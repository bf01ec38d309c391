// Forecasts after a gap: their errors match the stated ones.
#include "sensor/scoring/gap_forecast.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numbers>

#include "tests/support/random_network.h"

namespace {

using namespace coil;
using sensor::GapForecast;
using sensor::RecentValues;

using Shape = std::function<double(int step)>;

struct Tried {
  double mean_off = 0;  // in units of the stated error
  double error = 0;     // stated, mean
};

// Forecasts over `steps`, each for a separate series.
Tried tried(const std::function<Shape(test::Random&)>& shapes, int steps) {
  constexpr int kSeries = 40, kSeen = 500;
  Tried tried;
  for (uint32_t seed = 0; seed < kSeries; ++seed) {
    test::Random random(seed);
    const Shape shape = shapes(random);
    RecentValues recent;
    for (int t = 0; t < kSeen; ++t) recent.add(shape(t));
    double value = 0;
    for (int t = kSeen; t < kSeen + steps; ++t) value = shape(t);
    const GapForecast forecast = recent.forecast(steps, 1e-9);
    REQUIRE(forecast.exists());
    tried.mean_off += std::fabs(value - forecast.expected) / forecast.error / kSeries;
    tried.error += forecast.error / kSeries;
  }
  return tried;
}

Shape cycle(test::Random& random, double period, double noise) {
  return [&random, period, noise, phase = random.uniform(0, 6)](int t) {
    return 5 * std::sin(phase + 2 * std::numbers::pi * t / period) + noise * random.normal();
  };
}

double after_repeats(RecentValues recent, double value, int repeats) {
  for (int t = 0; t <= repeats; ++t) recent.add(value);
  return recent.surprisal_of_standstill();
}

TEST_CASE("values that stay equal are unusual only where they hardly ever did") {
  test::Random random(1);
  RecentValues moving, young, rounded, holed;
  for (int t = 0; t < 500; ++t) {
    const double value = random.normal();
    moving.add(value);
    if (t < 150) young.add(value);
    rounded.add(std::round(value));
    holed.add(value, t % 5 == 0 ? 3 : 1);
  }
  CHECK(after_repeats(moving, 7.5, 5) == 0);
  CHECK(after_repeats(moving, 7.5, 6) == Approx(2.4));
  CHECK(after_repeats(moving, 7.5, 7) == Approx(2.8));
  CHECK(after_repeats(moving, 7.5, 100) == Approx(2.8));
  CHECK(after_repeats(holed, 7.5, 7) == Approx(2.8));
  CHECK(after_repeats(young, 7.5, 50) == 0);
  CHECK(after_repeats(rounded, 7.5, 50) == 0);
  RecentValues again = moving;  // it stood still before
  for (int t = 0; t < 20; ++t) again.add(1.25);
  again.add(3);
  CHECK(after_repeats(again, 7.5, 50) == 0);
  // All memory is one value.
  CHECK(after_repeats(moving, 7.5, 600) == 0);
}

TEST_CASE("a cycle is forecast across gaps of any length, to its noise") {
  for (const double period : {12.0, 61.0, 96.0, 180.5}) {
    for (const int steps : {2, 5, 25, 49, 97, 301}) {
      const Tried t = tried([&](test::Random& random) { return cycle(random, period, 0.2); }, steps);
      INFO("period " << period << ", " << steps << " steps: off by " << t.mean_off << " errors of " << t.error);
      CHECK((t.mean_off > 0.3 && t.mean_off < 1.6));
      CHECK(t.error < 0.8);
    }
  }
}

TEST_CASE("the forecast of a random walk is less certain the longer the gap") {
  const auto walk = [](test::Random& random) -> Shape {
    return [&random, value = 0.0](int) mutable { return value = 0.98 * value + random.normal(); };
  };
  double last = 0;
  for (const int steps : {2, 8, 40}) {
    const Tried t = tried(walk, steps);
    INFO(steps << " steps: off by " << t.mean_off << " errors of " << t.error);
    CHECK((t.mean_off > 0.4 && t.mean_off < 1.6));
    CHECK(t.error > 1.3 * last);
    last = t.error;
  }
}

TEST_CASE("missing values count as elapsed time") {
  test::Random random(3);
  const Shape shape = cycle(random, 96, 0.05);
  RecentValues recent;
  int since = 1;
  for (int t = 0; t < 500; ++t, ++since) {
    const double value = shape(t);
    if (t < 499 && random.chance(0.3)) continue;
    recent.add(value, since);
    since = 0;
  }
  CHECK(recent.forecast(49, 1e-9).expected == Approx(shape(548)).margin(0.6));
}

TEST_CASE("surprisal rises with the distance, bounds widen with the gap") {
  test::Random random(4);
  const Shape shape = cycle(random, 96, 0.1);
  RecentValues recent;
  for (int t = 0; t < 300; ++t) recent.add(shape(t));
  sensor::GapBounds bounds;
  sensor::QuantileForecast usual = GapForecast{0, 1}.quantiles(2);
  const double width = usual.high() - usual.low();
  bounds.see(width);
  double surprisal = -1;
  for (double steps = 2; steps < 1000; ++steps) {
    const GapForecast forecast = recent.forecast(steps, 1e-9);
    const sensor::QuantileForecast widened = bounds.widened(forecast, steps);
    CHECK(widened.high() - widened.low() >= width * (1 + 0.1 * std::log2(steps)) * (1 - 1e-6));
    CHECK(widened.median() == Approx(forecast.expected));
  }
  const GapForecast forecast = recent.forecast(10, 1e-9);
  CHECK(forecast.surprisal(forecast.expected) == 0);
  for (double off = 0; off < 50; off += 0.5) {
    CHECK(forecast.surprisal(forecast.expected + off) == Approx(forecast.surprisal(forecast.expected - off)));
    CHECK(forecast.surprisal(forecast.expected + off) >= surprisal);
    surprisal = forecast.surprisal(forecast.expected + off);
  }
  CHECK(surprisal == 20);
}

TEST_CASE("a forecast over a gap does not depend on scale and offset, and stays finite") {
  for (const auto& [scale, offset] : {std::pair{1.0, 0.0}, {1e6, 1e9}, {-1e-6, 0.0}, {1e150, 0.0}, {0.0, 5.0}}) {
    test::Random random(5);
    const Shape shape = cycle(random, 48, 0.1);
    RecentValues plain, scaled;
    for (int t = 0; t < 400; ++t) {
      const double value = shape(t);
      plain.add(value), scaled.add(scale * value + offset);
    }
    for (const int steps : {1, 2, 30, 400, 100000}) {
      const GapForecast a = plain.forecast(steps, 1e-300), b = scaled.forecast(steps, 1e-300);
      CHECK((std::isfinite(b.expected) && std::isfinite(b.error) && std::isfinite(b.quantiles(b.width()).high())));
      CHECK(std::isfinite(b.surprisal(1)));
      if (scale == 0 || scale == 1e150) continue;
      CHECK(b.expected == Approx(scale * a.expected + offset).epsilon(1e-6).margin(1e-6 * std::fabs(scale)));
      CHECK(b.error == Approx(std::fabs(scale) * a.error).epsilon(1e-4));
    }
  }
}

TEST_CASE("after few values there is no forecast") {
  RecentValues recent;
  for (int t = 0; t < 11; ++t) {
    recent.add(t);
    CHECK_FALSE(recent.forecast(3, 1e-9).exists());
  }
  recent.add(11);
  CHECK(recent.forecast(3, 1e-9).exists());
  recent.add(12, 1e9);  // far from everything remembered
  CHECK_FALSE(recent.forecast(3, 1e-9).exists());
}

}  // namespace
