// Keeps samples finite, and small enough that no later stage overflows.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace coil::dsp {

inline constexpr float kLoudest = 64;  // +36 dBFS: louder than any intended signal

// Samples that come from a fault, not from sound. They count as 0, because a model may remember its input for seconds.
struct InputFaults {
  uint64_t non_finite = 0;
  uint64_t too_loud = 0;  // beyond kLoudest

  uint64_t total() const noexcept { return non_finite + too_loud; }
};

// [audio-thread]
inline void drop_faults(std::span<float> samples, InputFaults& faults) noexcept {
  uint32_t finite = 0, sound = 0;
  for (float& sample : samples) {
    const float magnitude = std::fabs(sample);  // a comparison with NaN is false
    const bool keeps = magnitude <= kLoudest;
    finite += magnitude <= std::numeric_limits<float>::max();
    sound += keeps;
    sample = keeps ? sample : 0.0f;
  }
  faults.non_finite += samples.size() - finite;
  faults.too_loud += finite - sound;
}

// Replaces non-finite samples by 0 and limits the others to +-kLoudest. [audio-thread]
inline void limit(std::span<float> samples) noexcept {
  for (float& sample : samples) {
    sample = std::fabs(sample) <= std::numeric_limits<float>::max() ? std::clamp(sample, -kLoudest, kLoudest) : 0.0f;
  }
}

// The peak magnitude of the finite samples. [audio-thread]
inline float peak(std::span<const float> samples) noexcept {
  constexpr size_t kLanes = 8;  // independent maxima, because a single one would be one long dependency chain
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
