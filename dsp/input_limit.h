// What a model is spared: samples that are no numbers, and samples so large that they would silence it for seconds.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

namespace coil::dsp {

// +40 dBFS, beyond any sound that is meant. A model remembers what is louder for longer: after one such sample `green_overdrive` is back
// within -40 dB after 0.04 s, after 64 of them 1.9 s; after 64 samples of 1e6 6 s, of 1e30 more than 20 s. ssm::Stream takes all of them.
inline constexpr float kMaxSample = 100;

// How many samples were changed.
struct LimitedInputs {
  uint64_t non_finite = 0;  // NaN or infinite, taken as 0
  uint64_t too_large = 0;   // beyond kMaxSample, taken as that, with their sign
};

// [audio-thread]
inline void limit_input(std::span<float> samples, LimitedInputs& limited) noexcept {
  uint32_t non_finite = 0, too_large = 0;
  for (float& sample : samples) {
    const uint32_t magnitude = std::bit_cast<uint32_t>(sample) & 0x7fffffffu;  // ordered as the numbers are
    const bool finite = magnitude < 0x7f800000u;
    non_finite += !finite;
    too_large += finite && magnitude > std::bit_cast<uint32_t>(kMaxSample);
    sample = finite ? std::clamp(sample, -kMaxSample, kMaxSample) : 0.0f;
  }
  limited.non_finite += non_finite;
  limited.too_large += too_large;
}

}  // namespace coil::dsp
