// The figures and the page of a report, for cases with known results.
#include "capture/report/report.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>

#include "base/svg.h"
#include "capture/recordings/test_signal.h"
#include "capture/report/chart.h"
#include "capture/report/player.h"
#include "capture/report/tones.h"
#include "tests/support/matrix_model.h"

namespace coil::capture {
namespace {

constexpr double kRate = 48000;

std::vector<float> sine(double hz, double amplitude, size_t frames) {
  std::vector<float> sound(frames);
  for (size_t i = 0; i < frames; ++i)
    sound[i] = float(amplitude * std::sin(2 * std::numbers::pi * hz * double(i) / kRate));
  return sound;
}

// x + x^2 / 5 + x^3 / 5: a sine of amplitude a gets harmonics of a + 3 a^3 / 20, a^2 / 10 and a^3 / 20.
std::vector<float> bent(std::vector<float> sound) {
  for (float& x : sound) x += 0.2f * x * x + 0.2f * x * x * x;
  return sound;
}
double second_db(double a) { return 20 * std::log10(a * a / 10 / (a + 3 * a * a * a / 20)); }
double third_db(double a) { return 20 * std::log10(a * a * a / 20 / (a + 3 * a * a * a / 20)); }

}  // namespace

TEST_CASE("text in markup is shown as it is, and never ends an element or an attribute") {
  CHECK(markup_text("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
  CHECK(markup_text("Überzerrer 10 k\u03a9 \U0001f3b8") == "Überzerrer 10 k\u03a9 \U0001f3b8");
  CHECK(markup_text("a\xff"
                    "b") ==
        "a\ufffd"
        "b");
  CHECK(markup_text("\xc3") == "\ufffd");  // cut off
  CHECK(markup_text("\xc0\xbc"
                    "script") == "\ufffd\ufffdscript");        // "<" in an overlong encoding
  CHECK(markup_text("\xed\xa0\x80") == "\ufffd\ufffd\ufffd");  // half of a surrogate pair
  CHECK(markup_text("\xf5\x80\x80\x80") == "\ufffd\ufffd\ufffd\ufffd");
  CHECK(markup_text(std::string_view("a\0b\x1b", 4)) ==
        "a\ufffd"
        "b\ufffd");
  CHECK(markup_text("a\tb\n") == "a\tb\n");
}

TEST_CASE("harmonics have their calculated levels") {
  for (const double hz : {100.0, 1234.5, 5000.0}) {
    const Harmonics found = harmonics_of(bent(sine(hz, 0.5, 8160)), hz, kRate);
    CHECK(found[0] == Approx(0));
    CHECK(*found[1] == Approx(second_db(0.5)).margin(0.05));
    CHECK(*found[2] == Approx(third_db(0.5)).margin(0.05));
    CHECK(*found[3] < -80);
    CHECK(found[9].has_value() == (10 * hz < 0.45 * kRate));
    CHECK(thd_db(found) ==
          Approx(10 * std::log10(std::pow(10, second_db(0.5) / 10) + std::pow(10, third_db(0.5) / 10))).margin(0.05));
  }
}

TEST_CASE("a device's harmonics are read from the test signal, wherever it begins") {
  std::vector<float> dry(3000);
  const std::vector<float> signal = make_test_signal(kRate);
  dry.insert(dry.end(), signal.begin(), signal.end());
  std::vector<float> half = dry;
  for (float& x : half) x *= 0.5f;
  const std::vector<Tone> tones = recorded_tones(dry, bent(dry), half, kRate);
  REQUIRE(tones.size() == test_signal_bursts().size());
  for (size_t i = 0; i < tones.size(); ++i) {
    const Tone& tone = tones[i];
    CHECK(tone.hz == test_signal_bursts()[i].hz);
    CHECK(tone.level_dbfs - tones[0].level_dbfs ==
          Approx(test_signal_bursts()[i].db - test_signal_bursts()[0].db).margin(0.05));
    const double amplitude = std::pow(10, tone.level_dbfs / 20);
    REQUIRE(tone.device.has_value());
    if ((*tone.device)[2]) CHECK(*(*tone.device)[1] == Approx(second_db(amplitude)).margin(0.1));
    if (tone.model[1]) CHECK(*tone.model[1] < -70);
    CHECK(tone.model_off_db.has_value() == (std::fmod(kRate, tone.hz) != 0));
    if (tone.model_off_db) CHECK(*tone.model_off_db < -85);
    if (tone.device_off_db && tone.hz < 0.15 * kRate) CHECK(*tone.device_off_db < -85);
  }
  CHECK(recorded_tones(sine(300, 0.5, 480000), sine(300, 0.5, 480000), sine(300, 0.5, 480000), kRate).empty());
}

TEST_CASE("energy off the harmonics of a recorded sine has its calculated level") {
  constexpr size_t kFrames = 8192;
  for (const double hz : {1700.0, 2500.0, 5000.0}) {
    std::vector<float> sound = bent(sine(hz, 0.5, kFrames));
    for (float& x : sound) x += 0.1f;  // a constant is no aliasing
    CHECK(*off_harmonics_db(sound, hz, kRate) < -85);
    const std::vector<float> between = sine(2.5 * hz, 0.005, kFrames);
    for (size_t i = 0; i < kFrames; ++i) sound[i] += between[i];
    CHECK(*off_harmonics_db(sound, hz, kRate) == Approx(-40.3).margin(0.1));  // the bent sine has 0.519
  }
  // 48 kHz is a multiple of these, so what folds lies on the harmonics.
  CHECK_FALSE(off_harmonics_db(sine(1200, 0.5, kFrames), 1200, kRate));
  CHECK(off_harmonics_db(sine(1200, 0.5, kFrames), 1200, 44100));
}

TEST_CASE("a model without distortion has nothing off the harmonics") {
  const auto model = test::matrix_model(1, {0.5f}, kRate);
  for (const double hz : {1200.0, 2500.0, 5000.0}) {
    const ToneSpectrum spectrum = tone_spectrum(model, {}, hz, -6);
    CHECK(spectrum.hz == Approx(hz).epsilon(0.003));
    CHECK(spectrum.off_harmonics_db < -100);
  }
  const Tone tone = model_tone(model, {}, 200, -6);
  CHECK(*tone.model[0] == Approx(0));
  CHECK(*tone.model[2] < -80);
}

TEST_CASE("sounds of a page are moderate, and none is beyond 48 kHz") {
  const std::vector<float> loud = sine(1000, 4, 48000), quiet = sine(1000, 1e-3, 48000);
  CHECK(4 * safe_gain({&loud, 1}, kRate) <= 0.7);
  CHECK(1e-3 * safe_gain({&quiet, 1}, kRate) == Approx(4 * safe_gain({&loud, 1}, kRate)).epsilon(0.01));
  const std::vector<float> both[] = {loud, quiet};
  CHECK(safe_gain(both, kRate) == Approx(safe_gain({&loud, 1}, kRate)));
  const std::vector<float> silence(48000);
  CHECK(safe_gain({&silence, 1}, kRate) == 1);

  const std::string head = "data:audio/wav;base64,UklGR";  // "RIFF"
  CHECK(sound_url(loud, kRate, 0.1).substr(0, head.size()) == head);
  CHECK(sound_url(loud, kRate, 0.1).size() == 22 + (44 + 2 * loud.size() + 2) / 3 * 4);
  CHECK(sound_url(loud, 96000, 0.1).size() == 22 + (44 + loud.size() + 2) / 3 * 4);
}

TEST_CASE("axes hold their range, however narrow or wide") {
  const ChartAxis none = linear_axis("", 5, 5, 5);
  CHECK(none.low < 5);
  CHECK(none.high > 5);
  CHECK(none.ticks.size() >= 2);
  CHECK(linear_axis("", -1, 1, 5).ticks[1].second == "\u22120.5");
  CHECK(linear_axis("", -1, 1, 5).ticks[2].second == "0");
  const ChartAxis ratio = ratio_axis("", 3e-5, 3e-5);
  CHECK(ratio.low <= 3e-5);
  CHECK(ratio.high >= 3e-5);
  CHECK(ratio.share(0) == 0);
  CHECK(ratio.share(1) == 1);
  CHECK(ratio_axis("", 0, 1).ticks.size() <= 8);
}

}  // namespace coil::capture
