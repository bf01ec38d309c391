// Reads a signal at positions between its frames.
#pragma once

#include <span>
#include <vector>

namespace coil::capture {

// out[i] is the signal at position start + i * step, both in frames, by a windowed sinc of 64 frames (error below -100
// dB up to 0.42 of the sample rate); 0 outside the signal. `step` must be close to 1: this is for delays and clock
// drift, not for other sample rates.
std::vector<float> read_between(std::span<const float> signal, double start, double step, size_t frames);

}  // namespace coil::capture
