// Both resamplers: alignment, accuracy, aliasing, and any split of a signal giving the same output.
#include <catch2/catch.hpp>
#include <cmath>
#include <numbers>
#include <vector>

#include "dsp/polyphase_resampler.h"
#include "dsp/resampler.h"
#include "base/error.h"
#include "tests/support/random_network.h"
#include "tests/support/worst.h"

namespace {

using coil::dsp::PolyphaseResampler;
using coil::dsp::Resampler;

struct Rates {
  double from_hz, to_hz;
};
const std::vector<Rates> kRates = {{44100, 48000}, {48000, 44100},  {48000, 96000},  {96000, 48000}, {8000, 48000},
                                   {48000, 8000},  {192000, 48000}, {48000, 192000}, {11025, 48000}, {44056, 48000}};

double sine(double hz, double time_s) { return std::sin(2 * std::numbers::pi * hz * time_s); }

std::vector<float> sine_signal(double hz, double rate_hz, size_t frames) {
  std::vector<float> signal(frames);
  for (size_t i = 0; i < frames; ++i) signal[i] = static_cast<float>(sine(hz, static_cast<double>(i) / rate_hz));
  return signal;
}

// The largest deviation from the sine, excluding its onset.
double sine_error(const std::vector<float>& signal, double hz, double rate_hz, size_t skipped) {
  double worst = 0;
  for (size_t i = skipped; i < signal.size(); ++i) {
    coil::test::take_worst(worst, std::fabs(signal[i] - sine(hz, static_cast<double>(i) / rate_hz)));
  }
  return worst;
}

std::vector<float> run_polyphase(Rates rates, const std::vector<float>& in, const std::vector<size_t>& blocks,
                                 int max_block) {
  PolyphaseResampler resampler(rates.from_hz, rates.to_hz, max_block);
  std::vector<float> out, piece(resampler.max_frames_out());
  size_t begin = 0;
  for (size_t size : blocks) {
    for (size_t left = size; left > 0;) {
      const size_t n = std::min<size_t>(left, max_block);
      const int made = resampler.process({in.data() + begin, n}, piece.data());
      REQUIRE(made <= resampler.max_frames_out());
      out.insert(out.end(), piece.begin(), piece.begin() + made);
      begin += n;
      left -= n;
      REQUIRE(static_cast<int64_t>(out.size()) == resampler.frames_out(static_cast<int64_t>(begin)));
    }
  }
  return out;
}

TEST_CASE("the polyphase resampler keeps sines of its pass band, in place") {
  for (const Rates rates : kRates) {
    const double lower_hz = std::min(rates.from_hz, rates.to_hz);
    const double pass_hz = std::min(20000.0, 0.4535 * lower_hz);
    const size_t frames = static_cast<size_t>(rates.from_hz / 4);
    for (double part : {0.01, 0.3, 0.7, 1.0}) {
      const std::vector<float> out =
          run_polyphase(rates, sine_signal(part * pass_hz, rates.from_hz, frames), {frames}, static_cast<int>(frames));
      INFO(rates.from_hz << " -> " << rates.to_hz << " Hz, " << part * pass_hz << " Hz");
      REQUIRE(out.size() > 100);
      // -100 dB each for ripple and images, and the single precision of the taps.
      CHECK(sine_error(out, part * pass_hz, rates.to_hz, out.size() / 4) < 3e-5);
    }
  }
}

TEST_CASE("the polyphase resampler passes a constant exactly") {
  for (const Rates rates : kRates) {
    const std::vector<float> out = run_polyphase(rates, std::vector<float>(20000, 1.0f), {20000}, 20000);
    for (size_t i = out.size() / 2; i < out.size(); ++i) REQUIRE(out[i] == Approx(1).epsilon(1e-6));
  }
}

TEST_CASE("the polyphase resampler removes aliases") {
  for (const Rates rates : {Rates{96000, 48000}, Rates{192000, 48000}, Rates{48000, 44100}, Rates{48000, 8000}}) {
    const double stop_hz = rates.to_hz - std::min(20000.0, 0.4535 * rates.to_hz);
    // Limited to what the input's rate can represent.
    const double hz = std::min(1.001 * stop_hz, 0.499 * rates.from_hz);
    if (hz < stop_hz) continue;
    const std::vector<float> out = run_polyphase(rates, sine_signal(hz, rates.from_hz, 48000), {48000}, 48000);
    float worst = 0;
    for (size_t i = out.size() / 4; i < out.size(); ++i) coil::test::take_worst(worst, std::fabs(out[i]));
    CHECK(worst < 2e-5f);
  }
}

TEST_CASE("any split gives the same output") {
  coil::test::Random random(3);
  for (const Rates rates : kRates) {
    const std::vector<float> in = coil::test::random_signal(5000, random);
    const std::vector<float> whole = run_polyphase(rates, in, {in.size()}, 5000);
    CHECK(run_polyphase(rates, in, coil::test::random_blocks(in.size(), random), 64) == whole);
    CHECK(run_polyphase(rates, in, std::vector<size_t>(in.size(), 1), 1) == whole);

    const auto run_file = [&](const std::vector<size_t>& blocks) {
      Resampler resampler(rates.from_hz, rates.to_hz, 1);
      std::vector<float> out;
      size_t begin = 0;
      for (size_t size : blocks) {
        resampler.process({in.data() + begin, size}, out);
        begin += size;
      }
      return out;
    };
    const std::vector<float> a = run_file({in.size()}), b = run_file(coil::test::random_blocks(in.size(), random));
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) REQUIRE(a[i] == b[i]);
  }
}

TEST_CASE("a reset polyphase resampler starts anew") {
  coil::test::Random random(4);
  PolyphaseResampler resampler(44100, 48000, 1000);
  const std::vector<float> in = coil::test::random_signal(1000, random);
  std::vector<float> first(resampler.max_frames_out()), second(resampler.max_frames_out());
  const int made = resampler.process(in, first.data());
  resampler.reset();
  REQUIRE(resampler.process(in, second.data()) == made);
  CHECK(first == second);
}

TEST_CASE("ratios without small whole numbers are errors on the audio thread") {
  CHECK_THROWS_AS(PolyphaseResampler(44101, 48000, 64), coil::Error);
  CHECK_THROWS_AS(PolyphaseResampler(0, 48000, 64), coil::Error);
}

TEST_CASE("the file resampler keeps sines, in place and in every channel") {
  for (const Rates rates : kRates) {
    const double hz = 0.4 * std::min(rates.from_hz, rates.to_hz);
    const size_t frames = static_cast<size_t>(rates.from_hz);
    Resampler resampler(rates.from_hz, rates.to_hz, 2);
    const std::vector<float> left = sine_signal(hz, rates.from_hz, frames),
                             right = sine_signal(hz / 4, rates.from_hz, frames);
    std::vector<float> in(2 * frames), out, out_left, out_right;
    for (size_t i = 0; i < frames; ++i) in[2 * i] = left[i], in[2 * i + 1] = right[i];
    resampler.process(in, out);
    for (size_t i = 0; i + 1 < out.size(); i += 2) out_left.push_back(out[i]), out_right.push_back(out[i + 1]);
    INFO(rates.from_hz << " -> " << rates.to_hz << " Hz");
    REQUIRE(static_cast<double>(out_left.size()) > 0.5 * rates.to_hz);
    CHECK(sine_error(out_left, hz, rates.to_hz, out_left.size() / 4) <
          1.2e-3);  // the library's specification near the edge: 0.01 dB
    CHECK(sine_error(out_right, hz / 4, rates.to_hz, out_right.size() / 4) < 2e-6);  // single precision in and out
  }
}

}  // namespace
