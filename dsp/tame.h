// Keeps samples finite, and so small that nothing behind can overflow.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace coil::dsp {

inline constexpr float kLoudest = 64;  // +36 dBFS: louder than any signal that is meant

// What is not finite or louder than kLoudest becomes 0: it comes from a fault, and a model may remember for seconds what it heard. Returns how
// many there were. [audio-thread]
inline size_t drop_faults(std::span<float> samples) noexcept {
  size_t faults = 0;
  for (float& sample : samples) {
    const bool sound = std::fabs(sample) <= kLoudest;  // false for NaN
    faults += !sound;
    sample = sound ? sample : 0.0f;
  }
  return faults;
}

// What is not finite becomes 0, the rest keeps within kLoudest. [audio-thread]
inline void limit(std::span<float> samples) noexcept {
  for (float& sample : samples) {
    sample = std::fabs(sample) <= std::numeric_limits<float>::max() ? std::clamp(sample, -kLoudest, kLoudest) : 0.0f;
  }
}

// The highest magnitude of finite samples. [audio-thread]
inline float peak(std::span<const float> samples) noexcept {
  float most = 0;
  for (const float sample : samples) most = std::max(most, std::fabs(sample));
  return most;
}

}  // namespace coil::dsp
