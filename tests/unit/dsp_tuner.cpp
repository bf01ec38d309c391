// The tuner finds the pitch of strings of known pitch: from 20 Hz, within half a cent, from 150 ms of sound.
#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>

#include "dsp/tuner.h"
#include "tests/support/planes.h"
#include "tests/support/random_network.h"
#include "tests/support/worst.h"

namespace {

using namespace coil;
using test::Signal;

// Decaying partials, the first one weak as with a magnetic pickup, and noise at -60 dB of the peak.
Signal string(double hz, double rate_hz, size_t frames, double phase, double first_partial = 0.3) {
  test::Random random(static_cast<unsigned>(hz * 10));
  Signal sound(frames);
  for (size_t i = 0; i < frames; ++i) {
    const double t = static_cast<double>(i) / rate_hz;
    double sample = 3e-4 * random.normal();
    for (int k = 1; k <= 8 && k * hz < 0.45 * rate_hz; ++k)
      sample += (k == 1 ? first_partial : 0.3 / k) * std::exp(-t * (1 + k)) *
                std::sin(2 * std::numbers::pi * k * hz * t + phase * k * k);
    sound[i] = static_cast<float>(0.5 * sample);
  }
  return sound;
}

double cents_between(double hz, double right_hz) { return 1200 * std::log2(hz / right_hz); }

TEST_CASE("the tuner is right within half a cent in 150 ms, from 20 Hz on, at every rate") {
  double worst = 0;
  for (const double rate_hz : {44100.0, 48000.0, 96000.0, 192000.0}) {
    dsp::Tuner tuner(rate_hz);
    CHECK(static_cast<double>(tuner.piece_frames()) <= 0.15 * rate_hz);
    for (int midi = 16; midi <= 93; midi += rate_hz > 50000 ? 11 : 1) {  // E0 to A6
      for (const double off_cents : {-37.3, 0.0, 12.9}) {
        const double hz = std::max(20.0, 440 * std::exp2((midi - 69 + off_cents / 100) / 12));
        const double weak = midi % 3 == 0 ? 0.02 : 0.3;
        const dsp::Pitch pitch = tuner.find(string(hz, rate_hz, tuner.piece_frames(), midi, weak));
        CAPTURE(rate_hz, midi, hz, pitch.hz, pitch.clarity);
        REQUIRE(pitch.hz > 0);
        test::take_worst(worst, std::fabs(cents_between(pitch.hz, hz)));
        CHECK(std::fabs(cents_between(pitch.hz, hz)) < 0.5);
        CHECK(pitch.clarity > 0.8);
      }
    }
  }
  INFO("worst: " << worst << " cents");
  CHECK(worst < 0.5);
}

TEST_CASE("a pure tone is found to a hundredth of a cent, and a hum below it does no harm") {
  dsp::Tuner tuner(48000);
  for (const double hz : {20.0, 41.2, 82.41, 440.0, 1318.5}) {
    const Signal tone = test::sine(hz, 48000, tuner.piece_frames());
    CHECK(std::fabs(cents_between(tuner.find(tone).hz, hz)) < 0.02);
    Signal shifted = tone;
    for (float& sample : shifted) sample += 0.3f;
    CHECK(std::fabs(cents_between(tuner.find(shifted).hz, hz)) < 0.5);
  }
}

TEST_CASE("noise, silence, clicks and what is no number have no pitch") {
  dsp::Tuner tuner(48000);
  test::Random random(3);
  CHECK(tuner.find(test::random_signal(tuner.piece_frames(), random)).hz == 0);
  CHECK(tuner.find(Signal(tuner.piece_frames())).hz == 0);
  CHECK(tuner.find(test::sine(110, 48000, tuner.piece_frames(), 1e-4f)).hz == 0);
  CHECK(tuner.find({}).hz == 0);
  CHECK(tuner.find(Signal(100, 0.5f)).hz == 0);
  Signal click(tuner.piece_frames());
  click[3000] = 1;
  CHECK(tuner.find(click).hz == 0);
  click[5000] = std::nanf("");
  CHECK(tuner.find(click).hz == 0);
}

TEST_CASE("a pitch is named by the nearest note of equal temperament") {
  CHECK(dsp::note_of(440).midi_note == 69);
  CHECK(dsp::note_of(440).cents == Approx(0).margin(1e-9));
  CHECK(dsp::note_of(82.4069).midi_note == 40);
  CHECK(dsp::note_of(82.4069 * std::exp2(30.0 / 1200)).cents == Approx(30).margin(0.01));
  CHECK(dsp::note_of(82.4069 * std::exp2(-30.0 / 1200)).cents == Approx(-30).margin(0.01));
  CHECK(dsp::note_of(432, 432).midi_note == 69);
}

}  // namespace
