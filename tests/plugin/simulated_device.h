// A simulated device of a few lines of code: its input and output.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tests/support/planes.h"

namespace coil::test {

inline constexpr size_t kLatency = 333;

// Decaying bursts, and the output of an overdrive for them: delayed, with inverted polarity.
struct Device {
  test::Signal dry, wet;

  explicit Device(size_t frames, uint32_t seed = 1, size_t late = kLatency) {
    double phase = 0, step = 0, level = 0, low = 0, smooth = 0;
    for (size_t t = 0; t < frames; ++t) {
      const auto random = [&] { return double(seed = seed * 1664525u + 1013904223u) / 4294967296.0; };
      if (t % 4000 == 0) step = 0.01 + 0.2 * random(), level = 0.1 + 0.4 * random();
      phase += step, level *= 0.9997;
      const double x = level * (std::sin(phase) + 0.6 * (random() - 0.5));
      low += 0.01 * (x - low);
      smooth += 0.4 * (std::tanh(4 * (x - low)) - smooth);
      dry.push_back(float(x)), wet.push_back(float(-0.5 * smooth));
    }
    wet.insert(wet.begin(), late, 0.0f);
    wet.resize(frames);
  }
  test::Signal without_delay() const {  // in the dry signal's polarity, like the model's output
    test::Signal sound(wet.begin() + kLatency, wet.end());
    for (float& value : sound) value = -value;
    return sound;
  }
};

}  // namespace coil::test
