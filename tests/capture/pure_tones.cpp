// Steady sines in the training: what counts as aliasing, and that training reduces it.
#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>
#include <vector>

#include "capture/trainer/random.h"
#include "capture/trainer/pure_tones.h"

using namespace coil::capture;

namespace {

constexpr size_t kFrames = 1536;  // not a power of two, like the segments of three threads
constexpr double kRateHz = 48000;

// Partials of a tone at multiples of its frequency; those above half the rate are folded.
std::vector<float> partials(size_t periods, size_t first, size_t last) {
  std::vector<float> signal(kFrames);
  for (size_t k = first; k <= last; ++k) {
    for (size_t t = 0; t < kFrames; ++t) {
      signal[t] +=
          float(std::cos(2 * std::numbers::pi * double(k * periods * t % kFrames) / kFrames + double(k)) / double(k));
    }
  }
  return signal;
}

double energy_of(const std::vector<float>& signal) {
  double sum = 0;
  for (const float value : signal) sum += double(value) * double(value);
  return sum;
}

}  // namespace

TEST_CASE("partials below half the rate are harmonics, aliases are not") {
  constexpr size_t kPeriods = 161, kBelow = kFrames / 2 / kPeriods;
  ToneSplitter splitter(kFrames);
  std::vector<float> clean = partials(kPeriods, 1, kBelow);
  for (float& value : clean) value += 0.5f;
  const ToneEnergy of_clean = splitter.leave_off_harmonics(clean, kPeriods);
  CHECK(of_clean.off_harmonics < 1e-10 * of_clean.all);

  const std::vector<float> folded = partials(kPeriods, kBelow + 1, kBelow + 5);
  std::vector<float> both = partials(kPeriods, 1, kBelow + 5);
  const ToneEnergy of_both = splitter.leave_off_harmonics(both, kPeriods);
  CHECK(of_both.off_harmonics == Approx(energy_of(folded)).epsilon(1e-4));
  for (size_t t = 0; t < kFrames; ++t) REQUIRE(both[t] == Approx(folded[t]).margin(1e-5));
}

TEST_CASE("the part off the harmonics is the gradient of half its energy") {
  Random random{1};
  ToneSplitter splitter(kFrames);
  std::vector<float> signal(kFrames), direction(kFrames);
  for (size_t t = 0; t < kFrames; ++t) signal[t] = float(random.normal()), direction[t] = float(random.normal());
  const auto energy_at = [&](float step) {
    std::vector<float> moved = signal;
    for (size_t t = 0; t < kFrames; ++t) moved[t] += step * direction[t];
    return splitter.leave_off_harmonics(moved, 35).off_harmonics;
  };
  std::vector<float> gradient = signal;
  splitter.leave_off_harmonics(gradient, 35);
  double slope = 0;
  for (size_t t = 0; t < kFrames; ++t) slope += double(gradient[t]) * double(direction[t]);
  // The energy is quadratic, so central differences are exact up to float32's rounding.
  CHECK((energy_at(0.5f) - energy_at(-0.5f)) / 2 == Approx(slope).epsilon(1e-4).margin(0.05));
}

TEST_CASE("tones are equal in every segment and alias between their harmonics") {
  Random random{3};
  for (int i = 0; i < 200; ++i) {
    const PureTone tone = draw_pure_tone(random, 3, 0.8f, 4096, kRateHz);
    REQUIRE(tone.take < 3);
    REQUIRE(tone.periods % 2 == 1);
    REQUIRE(double(tone.periods) * kRateHz / 4096 < 6600);
    REQUIRE(tone.level <= 0.8f);
    REQUIRE(tone.level > 0.08f);
    REQUIRE(tone.left > tone.unscored);
    REQUIRE(tone_sample(tone, 4096, 4096) == tone_sample(tone, 0, 4096));
  }
}
