// Signals of one or two channels, and functions that run processors over them in blocks.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <span>
#include <vector>

#include "dsp/processor.h"

namespace coil::test {

using Signal = std::vector<float>;
using Planes = std::vector<Signal>;

// Processes the next frames of `planes` from `begin` on, in place.
inline void run_block(dsp::AudioProcessor& processor, Planes& planes, size_t begin, size_t frames) {
  std::array<float*, 2> channels{};
  for (size_t c = 0; c < planes.size(); ++c) channels[c] = planes[c].data() + begin;
  processor.process({channels.data(), static_cast<int>(planes.size()), static_cast<int>(frames)});
}

inline Planes run_all(dsp::AudioProcessor& processor, Planes planes, std::span<const size_t> blocks) {
  size_t begin = 0;
  for (const size_t frames : blocks) {
    run_block(processor, planes, begin, frames);
    begin += frames;
  }
  return planes;
}

inline Planes run_all(dsp::AudioProcessor& processor, Planes planes) {
  const std::array<size_t, 1> whole{planes[0].size()};
  return run_all(processor, std::move(planes), whole);
}

inline Signal sine(double hz, double rate_hz, size_t frames, float amplitude = 0.5f) {
  Signal signal(frames);
  for (size_t i = 0; i < frames; ++i)
    signal[i] = amplitude * static_cast<float>(std::sin(2 * std::numbers::pi * hz * static_cast<double>(i) / rate_hz));
  return signal;
}

// Infinite if any value is not finite.
inline double largest_difference(std::span<const float> a, std::span<const float> b) {
  double most = a.size() == b.size() ? 0 : std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - b[i]);
    most = std::isfinite(difference) ? std::max(most, difference) : std::numeric_limits<double>::infinity();
  }
  return most;
}

// The largest second difference: large for a click, small for a smooth signal. For a sine: amplitude (2 pi hz /
// rate)^2.
inline double roughness(std::span<const float> samples) {
  double most = 0;
  for (size_t i = 2; i < samples.size(); ++i) {
    const double bend = std::fabs(static_cast<double>(samples[i]) - 2.0 * samples[i - 1] + samples[i - 2]);
    most = std::isfinite(bend) ? std::max(most, bend) : std::numeric_limits<double>::infinity();
  }
  return most;
}

}  // namespace coil::test
