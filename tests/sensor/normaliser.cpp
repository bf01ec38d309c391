// The frames of a series equal those of the reference with which the forecasters were trained.
#include "sensor/scoring/normaliser.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "sensor/scoring/forecast.h"
#include "tests/support/random_network.h"

namespace {

using namespace coil;
using sensor::Frame;
using sensor::Normaliser;

constexpr size_t kInterval = 3;  // index in a frame

TEST_CASE("frames are those of the reference") {
  std::ifstream file(COIL_SENSOR_TESTS_DIR "/normaliser_reference.json");
  REQUIRE(file);
  const nlohmann::json reference = nlohmann::json::parse(file);
  for (const auto& one : reference["cases"]) {
    INFO(one["name"]);
    Normaliser normaliser(reference["window"]);
    REQUIRE(one["values"].size() == one["frames"].size());
    REQUIRE(!one["values"].empty());
    for (size_t t = 0; t < one["values"].size(); ++t) {
      INFO("step " << t);
      const auto& value = one["values"][t];
      const std::vector<double> expected = one["frames"][t];
      const auto interval = static_cast<float>(expected[kInterval]);
      const Frame frame = value.is_number() ? normaliser.observe(value, interval) : normaliser.miss(interval);
      for (size_t i = 0; i < frame.size(); ++i) CHECK(frame[i] == Approx(expected[i]).epsilon(2e-6).margin(2e-6));
    }
  }
}

TEST_CASE("frames do not depend on scale and offset of the values") {
  test::Random random(1);
  Normaliser a, b;
  for (int t = 0; t < 500; ++t) {
    const double value = random.chance(0.3) ? std::round(3 * random.normal()) : random.normal() * 10;
    const Frame x = a.observe(value), y = b.observe(1e5 * value - 1e6);
    for (size_t i = 0; i < x.size(); ++i) CHECK(x[i] == Approx(y[i]).epsilon(1e-5).margin(1e-5));
  }
}

TEST_CASE("one value far out hardly moves the scale") {
  test::Random random(2);
  Normaliser normaliser;
  for (int t = 0; t < 400; ++t) normaliser.observe(random.normal());
  const double before = normaliser.scale();
  normaliser.observe(1000);
  normaliser.observe(0);
  CHECK(normaliser.scale() < 2 * before);
  CHECK(std::fabs(normaliser.level()) < 1);
}

TEST_CASE("frames are finite for any values") {
  Normaliser normaliser;
  for (const double value : {0.0, 0.0, 1e150, -1e150, 1e-308, 5.0, std::numeric_limits<double>::denorm_min(), 0.0}) {
    for (const float part : normaliser.observe(value)) CHECK(std::isfinite(part));
    for (const float part : normaliser.miss()) CHECK(std::isfinite(part));
  }
}

TEST_CASE("surprisal is that of the two-sided tail, and rises with the distance") {
  Normaliser normaliser;
  for (int t = 0; t < 100; ++t) normaliser.observe(t % 2);
  const std::array<float, sensor::kQuantiles> shuffled = {0.2f, -1.2f, -0.8f, -0.5f, -0.2f, 0, 0.5f, 0.8f, 1.2f};
  const auto forecast = sensor::QuantileForecast::of(normaliser, shuffled);
  CHECK(std::is_sorted(forecast.quantiles.begin(), forecast.quantiles.end()));
  CHECK(forecast.surprisal(forecast.median()) == Approx(0).margin(1e-6));
  CHECK(forecast.surprisal(forecast.low()) == Approx(-std::log10(0.2)).epsilon(1e-4));
  CHECK(forecast.surprisal(forecast.high()) == Approx(-std::log10(0.2)).epsilon(1e-4));
  CHECK(forecast.surprisal(forecast.value(6)) == Approx(-std::log10(0.6)).epsilon(1e-4));
  double last = 0;
  for (double value = forecast.median(); value < 1000; value += 0.01) {
    const double surprisal = forecast.surprisal(value);
    CHECK(surprisal >= last);
    last = surprisal;
  }
  CHECK(last > 3);
}

TEST_CASE("forecasts are due after their horizon") {
  Normaliser normaliser;
  sensor::PendingForecasts pending;
  std::vector<float> outputs(sensor::kHorizons * sensor::kQuantiles);
  for (int t = 0; t < 300; ++t) {
    for (size_t which = 0; which < sensor::kScoredHorizons.size(); ++which) {
      const int made_at = t - static_cast<int>(sensor::kScoredHorizons[which]);
      REQUIRE(pending.due(which).exists() == (made_at >= 1));  // the first value has no scale yet
      if (made_at >= 1)
        CHECK(pending.due(which).quantiles[0] == Approx(0.01 * made_at + 0.001 * static_cast<double>(which)));
    }
    normaliser.observe(t % 3);
    for (size_t which = 0; which < sensor::kScoredHorizons.size(); ++which) {
      const size_t row = (sensor::kScoredHorizons[which] - 1) * sensor::kQuantiles;
      for (size_t q = 0; q < sensor::kQuantiles; ++q)
        outputs[row + q] = static_cast<float>(0.01 * t + 0.001 * static_cast<double>(which));
    }
    pending.advance(normaliser, outputs);
  }
  pending.forget();
  CHECK_FALSE(pending.due(0).exists());
}

}  // namespace
