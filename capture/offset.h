// How much later a recording of a device's output is than that of its input.
#pragma once

#include <cstddef>
#include <span>

namespace coil::capture {

struct Offset {
  std::ptrdiff_t delay_frames = 0;  // the wet recording is so much too late; negative: too early
  bool inverted = false;            // the device, or the recording, turns the signal over
};

// By correlation, up to a second either way. A device's own filters move the peak by a few frames, which are left to the model: a delay
// is named only beyond that, and then a little too small, lest the output come before the input.
Offset align(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz);

}  // namespace coil::capture
