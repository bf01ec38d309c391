// Makes samples fit to be reckoned with: finite, and not so large that anything behind could overflow.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace coil::dsp {

// +36 dBFS: louder than any signal that is meant, and small enough that a model's memory of it fades like that of any other.
inline constexpr float kLoudest = 64;

// What is not finite becomes 0, the rest keeps within kLoudest. Returns how many were not finite. [audio-thread]
inline size_t tame(std::span<float> samples) noexcept {
  size_t not_finite = 0;
  for (float& sample : samples) {
    const bool finite = std::fabs(sample) <= std::numeric_limits<float>::max();
    not_finite += !finite;
    sample = finite ? std::clamp(sample, -kLoudest, kLoudest) : 0.0f;
  }
  return not_finite;
}

inline float peak(std::span<const float> samples) noexcept {
  float most = 0;
  for (const float sample : samples) most = std::max(most, std::fabs(sample));
  return most;
}

}  // namespace coil::dsp
