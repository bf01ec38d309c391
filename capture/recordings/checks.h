// What can be wrong with recordings, found in the sound itself.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "capture/recordings/finding.h"

namespace coil::capture {

// One file by itself, at its own rate: silence, level, clipping, drop-outs. `name` stands in the texts.
void check_sound(std::span<const float> sound, double sample_rate_hz, const std::string& name, Findings& findings);

// What the pair says once it is aligned: noise, hum, a gate, a reverb or delay. Both equally long.
struct PairFacts {
  double noise_to_signal =
      0;              // power of what the wet recording holds where the dry one is silent, over its power elsewhere
  double hum_hz = 0;  // 50 or 60 where mains hum stands out of that noise, else 0
};
PairFacts check_pair(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz, Findings& findings);

// How far the two playings of the test signal's passage differ, as an error-to-signal ratio: no model can come closer
// than about half of it. `start` is the frame at which the test signal begins.
std::optional<double> check_repeatability(std::span<const float> wet, long start, double sample_rate_hz,
                                          Findings& findings);

// Converters and some interfaces add a constant, and so does a capture of another program; a model that is silent at
// rest cannot give it. It is what the wet recording has where the dry one is silent, or else its mean, if that is
// large.
void take_out_constant(std::span<const float> dry, std::span<float> wet, double sample_rate_hz, Findings& findings);

// How much the level moves while it plays: a compressor makes that less, whatever it does to the peaks.
double level_spread_db(std::span<const float> sound, double sample_rate_hz);

// The ratio of a signal's peak to its root mean square, in dB.
double crest_db(std::span<const float> sound);

}  // namespace coil::capture
