// Pieces of sound that are embedded in a page.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace coil::capture {

// A mono WAV file of 16 bits as a data URL. Rates above 48 kHz are resampled to 48 kHz; both ends are faded over 5 ms.
std::string sound_url(std::span<const float> sound, double sample_rate_hz, double gain);

// The gain that brings the sounds together to the loudness of a quiet mix (-23 LUFS), with peaks below full scale; 1
// for silence.
double safe_gain(std::span<const std::vector<float>> sounds, double sample_rate_hz);

}  // namespace coil::capture
