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
  constexpr size_t kLanes = 8;  // so many independent maxima: one would wait for itself at every sample
  float most[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= samples.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) most[lane] = std::max(most[lane], std::fabs(samples[i + lane]));
  }
  for (; i < samples.size(); ++i) most[0] = std::max(most[0], std::fabs(samples[i]));
  return *std::max_element(most, most + kLanes);
}

inline bool silent(std::span<const float> samples) noexcept { return peak(samples) == 0; }

}  // namespace coil::dsp
