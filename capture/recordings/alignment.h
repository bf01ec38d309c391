// Aligns the recording of a device with its input: delay, polarity, drift of the clocks.
#pragma once

#include <span>
#include <vector>

namespace coil::capture {

// The largest safety margin by which the removed delay is smaller than the delay found, so that a pair stays causal.
inline constexpr double kMostMarginFrames = 12;

struct Alignment {
  double delay_frames = 0;  // delay of the wet recording at the dry one's first frame; may be negative
  double drift_ppm = 0;     // by how much the wet recording's clock runs longer
  bool inverted = false;
  bool found = false;                 // false: no delay explains a relation between the two
  double confidence = 0;              // 0 to 1: how well a delay and a sign explain the phase
  std::vector<double> jumps_seconds;  // where the delay changes suddenly, for example because an interface dropped
                                      // samples
};

// Both signals have the same sample rate. Any offset, as long as they overlap. Not for the audio thread.
Alignment find_alignment(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz);

// The wet recording, aligned with the dry one, with corrected polarity and the dry one's length; 0 where the wet
// recording has no sound.
std::vector<float> aligned(std::span<const float> wet, size_t dry_frames, const Alignment& alignment);

}  // namespace coil::capture
