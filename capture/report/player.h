// Pieces of sound that a page carries within itself.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace coil::capture {

// A mono WAV file of 16 bits as a data URL. Sound beyond 48 kHz is brought to 48 kHz; both ends are faded over 5 ms.
std::string sound_url(std::span<const float> sound, double sample_rate_hz, double gain);

// The gain that makes the sounds, taken together, as loud as a quiet mix (-23 LUFS), with peaks that stay below full
// scale; 1 for silence.
double safe_gain(std::span<const std::vector<float>> sounds, double sample_rate_hz);

}  // namespace coil::capture
