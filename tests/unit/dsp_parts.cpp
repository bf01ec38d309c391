// The rack's small parts: ramps, delay lines, the gate, limiting of samples, K-weighting.
#include <catch2/catch.hpp>

#include "dsp/decibels.h"
#include "dsp/delay_line.h"
#include "dsp/loudness.h"
#include "dsp/noise_gate.h"
#include "dsp/ramp.h"
#include "dsp/sample_faults.h"
#include "tests/support/planes.h"
#include "tests/support/random_network.h"
#include "tests/support/runs.h"

namespace {

using namespace coil;
using test::Signal;

TEST_CASE("a ramp takes the stated time to exactly its target, and sets out and arrives level") {
  dsp::Ramp ramp(1, 4);
  ramp.aim(3, 2);
  Signal values;
  for (int i = 0; i < 8; ++i) values.push_back(ramp.at(i));
  CHECK(values == Signal{1, 1, 1.3125f, 2, 2.6875f, 3, 3, 3});
  ramp.advance(3);
  CHECK(ramp.at(-1) == 1.3125f);
  CHECK(ramp.at(0) == 2);
  ramp.aim(0);
  ramp.advance(2);
  ramp.advance(2);
  CHECK(ramp.rests_at(0));
}

TEST_CASE("a ramp that is aimed elsewhere on its way does not bend") {
  dsp::Ramp ramp(0, 1000);
  Signal values;
  for (int i = 0; i < 6000; ++i) {
    if (i % 300 == 0) ramp.aim(i % 900 == 0 ? 1.0f : i % 900 == 300 ? -1.0f : 0.5f);
    values.push_back(ramp.at(0));
    ramp.advance(1);
  }
  // a line of that length would bend by up to 2 / 1000
  CHECK(test::roughness(values) < 2.0 * 12 / (1000 * 1000));
}

TEST_CASE("a delay line delays, and changes from one delay to another in a fade, in any blocks") {
  test::Random random(1);
  const Signal in = test::random_signal(5000, random);
  const auto play = [&](const std::vector<size_t>& blocks) {
    dsp::DelayLine line(1000, 200);
    line.set_delay(700, true);
    Signal out = in;
    size_t begin = 0;
    for (const size_t frames : blocks) {
      line.process(std::span(out).subspan(begin, frames));
      begin += frames;
      if (begin == 2000) line.set_delay(3);
      if (begin == 2100) line.set_delay(0), line.set_delay(1000);  // waits for the first fade
    }
    return out;
  };
  const Signal out = play({2000, 100, 2900});
  for (size_t i = 700; i < 2000; ++i) REQUIRE(out[i] == in[i - 700]);
  for (size_t i = 2000; i < 2200; ++i) {
    const float way = static_cast<float>(i - 1999) / 200, part = way * way * (3 - 2 * way);
    REQUIRE(out[i] == Approx((1 - part) * in[i - 700] + part * in[i - 3]).margin(1e-6));
  }
  for (size_t i = 2400; i < 5000; ++i) REQUIRE(out[i] == in[i - 1000]);
  std::vector<size_t> blocks = test::random_blocks(2000, random);
  for (const size_t frames : {100, 1, 0, 2000, 800, 99}) blocks.push_back(frames);
  CHECK(play(blocks) == out);
}

TEST_CASE("the gate has a threshold, a hysteresis, a hold time and a gain without kinks") {
  dsp::NoiseGate gate;
  gate.prepare(48000);
  CHECK(gate.idle());
  gate.set_threshold_db(-40);
  const auto gains = [&](float key_db, size_t frames) {
    Signal key(frames, dsp::db_to_gain(key_db));
    gate.process(key);
    return key;
  };
  gains(-60, 48000);
  CHECK(gate.gain() == 0);
  gains(-42, 48000);  // between the thresholds: unchanged
  CHECK(gate.gain() == 0);
  const Signal opening = gains(-39.9f, 480);
  CHECK(opening[35] > 0.1f);
  CHECK(opening[72] == 1);
  CHECK(test::roughness(opening) < 1.5 * 6 / (72.0 * 72.0));  // the second derivative of 3 x^2 - 2 x^3 is at most 6 /
                                                              // length^2
  gains(-44, 48000);
  CHECK(gate.gain() == 1);
  const size_t hold = 48 * 40, fall = static_cast<size_t>(480 * std::log(10.0) * (46.01 - 44) / 20);
  const Signal closing = gains(-46.1f, 48000);
  CHECK(closing[hold] == 1);
  CHECK(closing[hold + 480 + 200] < 1);
  CHECK(closing[hold + fall + 480 + 48 * 120] == 0);
  CHECK(test::roughness(closing) < 1e-6);
  gate.set_threshold_db(dsp::kGateOffDb);
  CHECK(gains(-200, 100).back() == 1);
  CHECK(gate.idle());
}

TEST_CASE("samples are kept finite and within the limit, all others are left alone") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Signal samples{0,  -0.0f,  1e-42f,    63,         -64,
                       65, -3e38f, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()};
  Signal limited = samples, sound = samples;
  dsp::limit(limited);
  CHECK(test::same_bits(limited, Signal{0, -0.0f, 1e-42f, 63, -64, 64, -64, 0, 0, 0}));
  dsp::InputFaults faults;
  dsp::drop_faults(sound, faults);
  CHECK(faults.non_finite == 3);
  CHECK(faults.too_loud == 2);
  CHECK(test::same_bits(sound, Signal{0, -0.0f, 1e-42f, 63, -64, 0, 0, 0, 0, 0}));
}

TEST_CASE("decibels go to factors and back") {
  CHECK(dsp::db_to_gain(0) == 1);
  CHECK(dsp::db_to_gain(-20) == Approx(0.1));
  CHECK(dsp::gain_to_db(2) == Approx(6.0206));
  CHECK(dsp::gain_to_db(0, -90) == -90);
}

// EBU Tech 3341 and BS.1770: a sine of 997 Hz at full scale in one channel is -3.01 LUFS, at every rate.
TEST_CASE("loudness agrees with BS.1770") {
  for (const double rate_hz : {44100.0, 48000.0, 96000.0}) {
    const size_t frames = static_cast<size_t>(5 * rate_hz);
    CHECK(dsp::loudness_lufs(test::sine(997, rate_hz, frames, 1), rate_hz) == Approx(-3.01).margin(0.02));
    CHECK(dsp::loudness_lufs(test::sine(10000, rate_hz, frames, 1), rate_hz) ==
          Approx(-3.01 - 0.691 + 4.0).margin(0.1));  // at the top of the shelf
    CHECK(dsp::loudness_lufs(test::sine(20, rate_hz, frames, 1), rate_hz) < -15);
    CHECK(dsp::loudness_lufs(Signal(frames, 0.5f), rate_hz) < -30);  // a constant, except for its onset
  }
  CHECK(dsp::loudness_lufs(Signal(100), 48000) == -200);
}

// After EBU Tech 3341: tones of 1 kHz whose quiet parts the gates exclude; a stereo tone counts twice as much as one
// channel.
TEST_CASE("integrated loudness uses the standard's gates, however the sound is split") {
  const auto integrated = [](double rate_hz, const std::vector<std::pair<double, double>>& seconds_and_db, int channels,
                             size_t piece) {
    Signal sound;
    for (const auto& [seconds, db] : seconds_and_db) {
      for (const float sample :
           test::sine(1000, rate_hz, static_cast<size_t>(seconds * rate_hz), dsp::db_to_gain(static_cast<float>(db)))) {
        sound.insert(sound.end(), static_cast<size_t>(channels), sample);
      }
    }
    dsp::LoudnessMeter meter(rate_hz, channels);
    for (size_t begin = 0; begin < sound.size(); begin += piece * static_cast<size_t>(channels)) {
      meter.add(std::span(sound).subspan(begin, std::min(piece * static_cast<size_t>(channels), sound.size() - begin)));
    }
    return meter.integrated_lufs().value_or(-200);
  };
  for (const double rate_hz : {44100.0, 48000.0}) {
    for (const size_t piece : {size_t(997), size_t(1) << 20}) {
      CHECK(integrated(rate_hz, {{5, -23}}, 2, piece) == Approx(-23).margin(0.1));
      CHECK(integrated(rate_hz, {{5, -23}}, 1, piece) == Approx(-26).margin(0.1));
      CHECK(integrated(rate_hz, {{2, -36}, {12, -23}, {2, -36}}, 2, piece) == Approx(-23).margin(0.1));
      CHECK(integrated(rate_hz, {{2, -72}, {2, -36}, {12, -23}, {2, -36}, {2, -72}}, 2, piece) ==
            Approx(-23).margin(0.1));
      CHECK(integrated(rate_hz, {{20, -26}, {20.1, -20}, {20, -26}}, 2, piece) == Approx(-23).margin(0.1));
    }
    CHECK(integrated(rate_hz, {{0.2, -23}}, 2, 100) == Approx(-23).margin(0.5));  // shorter than one block
    CHECK(integrated(rate_hz, {{0.2, -100}}, 2, 100) == -200);
    CHECK(integrated(rate_hz, {{5, -100}}, 2, 1000) == -200);
    CHECK(integrated(rate_hz, {}, 2, 1) == -200);
  }
}

TEST_CASE("the plucked strings are the same at each call, and as loud at every rate") {
  CHECK(dsp::plucked_strings(48000) == dsp::plucked_strings(48000));
  const double lufs = dsp::loudness_lufs(dsp::plucked_strings(48000), 48000);
  CHECK(lufs < -15);
  CHECK(lufs > -35);
  for (const double rate_hz : {22050.0, 44100.0, 96000.0}) {
    CHECK(dsp::peak(dsp::plucked_strings(rate_hz)) == Approx(0.35f));
    CHECK(dsp::loudness_lufs(dsp::plucked_strings(rate_hz), rate_hz) == Approx(lufs).margin(0.3));
  }
}

}  // namespace
