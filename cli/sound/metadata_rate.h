// Converts positions and lengths that metadata counts in frames to another sample rate.
#pragma once

#include <cstdint>

#include "cli/sound/metadata.h"

namespace coil::cli {

// Converts numbers of frames from one sample rate to another, rounded.
class RateChange {
 public:
  RateChange(int from_hz, int to_hz);

  bool changes() const { return from_hz_ != to_hz_; }
  uint64_t from_hz() const { return from_hz_; }
  uint64_t to_hz() const { return to_hz_; }

  uint64_t frames(uint64_t count) const;
  double frames(double count) const;
  // For the last frame of something, so that the length up to it is kept.
  uint64_t last_frame(uint64_t place) const;
  uint64_t period(uint64_t time) const;  // the duration of one frame, in any unit

 private:
  uint64_t from_hz_, to_hz_;
};

// Converts cue points, loops, regions, markers, time references, cue sheets, and tags that count frames. Unknown frame
// counts are left out, and named in `left_out`. [any thread]
Metadata at_rate(const Metadata& metadata, const RateChange& change);

}  // namespace coil::cli
