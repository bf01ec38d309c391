// Finds faults of recordings in the sound itself.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "capture/recordings/finding.h"

namespace coil::capture {

// Checks one file, at its own rate: silence, level, clipping, drop-outs. The texts call it `name`.
void check_sound(std::span<const float> sound, double sample_rate_hz, const std::string& name, Findings& findings);

// Results of the checks of an aligned pair: noise, hum, a gate, a reverb or delay. Both signals have equal length.
struct PairFacts {
  double noise_to_signal = 0;  // power of the wet recording where the dry one is silent, over its power elsewhere
  double hum_hz = 0;           // 50 or 60 if mains hum dominates that noise, else 0
};
PairFacts check_pair(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz, Findings& findings);

// The difference of the two playings of the test signal's passage, as an error-to-signal ratio. No model can be better
// than about half of it. `start` is the frame at which the test signal starts.
std::optional<double> check_repeatability(std::span<const float> wet, long start, double sample_rate_hz,
                                          Findings& findings);

// Removes a constant offset, which converters, some interfaces and captures of other programs add. A model that is
// silent at rest cannot produce it. It is measured where the dry recording is silent; otherwise it is the mean, if that
// is large.
void take_out_constant(std::span<const float> dry, std::span<float> wet, double sample_rate_hz, Findings& findings);

// How much the level varies while it plays. A compressor reduces this, whatever it does to the peaks.
double level_spread_db(std::span<const float> sound, double sample_rate_hz);

// The ratio of a signal's peak to its root mean square, in dB.
double crest_db(std::span<const float> sound);

}  // namespace coil::capture
