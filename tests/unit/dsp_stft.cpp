// The STFT against a plain DFT, and its scale.
#include "dsp/stft.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "base/error.h"
#include "tests/support/random_network.h"

namespace {

using coil::dsp::Stft;

TEST_CASE("the STFT is the DFT of the Hann-windowed frames") {
  coil::test::Random random(1);
  for (int size : {4, 8, 64, 1024}) {
    Stft stft(size);
    REQUIRE(stft.bins() == size / 2 + 1);
    const std::vector<float> frames = coil::test::random_signal(size, random);
    std::vector<float> power(stft.bins());
    stft.analyse(frames, power);
    for (int bin = 0; bin < stft.bins(); ++bin) {
      std::complex<double> sum = 0;
      double window_sum = 0;
      for (int i = 0; i < size; ++i) {
        const double window = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / size);
        window_sum += window;
        sum += window * frames[i] * std::polar(1.0, -2 * std::numbers::pi * bin * i / size);
      }
      // Single precision: an error of some epsilon x log2(size) against the whole spectrum's amplitude.
      CHECK(std::sqrt(power[bin]) == Approx(std::abs(sum) * 2 / window_sum).margin(3e-6));
    }
  }
}

TEST_CASE("a sine of full scale on a bin has power 1 there and next to none elsewhere") {
  Stft stft(1024);
  std::vector<float> frames(1024), power(513);
  for (int i = 0; i < 1024; ++i) frames[i] = static_cast<float>(std::sin(2 * std::numbers::pi * 100 * i / 1024));
  stft.analyse(frames, power);
  CHECK(power[100] == Approx(1).epsilon(1e-5));
  for (int bin = 0; bin < 513; ++bin) {
    if (std::abs(bin - 100) > 1) CHECK(power[bin] < 1e-10f);
  }
}

TEST_CASE("sizes that are not a power of two are errors") {
  for (int size : {-4, 0, 1, 2, 3, 48, 1000}) CHECK_THROWS_AS(Stft(size), coil::Error);
}

}  // namespace
