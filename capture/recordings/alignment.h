// Puts the return of a device on top of what was sent into it: delay, polarity, drift of the clocks.
#pragma once

#include <span>
#include <vector>

namespace coil::capture {

// The most by which a delay is taken smaller than it was found, so that a pair stays causal.
inline constexpr double kMostMarginFrames = 12;

struct Alignment {
  double delay_frames = 0;  // of the wet recording behind the dry one, at the dry one's first frame; may be negative
  double drift_ppm = 0;     // how much longer the wet recording's time runs
  bool inverted = false;
  bool found = false;                 // false: the two have nothing to do with each other that a delay would explain
  double confidence = 0;              // 0 to 1: how well a delay and a sign explain the phase
  std::vector<double> jumps_seconds;  // where the delay changes at once, as when an interface drops samples
};

// Both of one sample rate. Any offset, as long as they overlap. Not for the audio thread.
Alignment find_alignment(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz);

// The wet recording as long as the dry one, on top of it, in its polarity. Where the wet one does not reach it is 0.
std::vector<float> aligned(std::span<const float> wet, size_t dry_frames, const Alignment& alignment);

}  // namespace coil::capture
