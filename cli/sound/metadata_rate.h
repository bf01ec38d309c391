// Positions and lengths that metadata counts in frames, at another sample rate.
#pragma once

#include <cstdint>

#include "cli/sound/metadata.h"

namespace coil::cli {

// From one sample rate to another, rounded.
class RateChange {
 public:
  RateChange(int from_hz, int to_hz);

  bool changes() const { return from_hz_ != to_hz_; }
  uint64_t from_hz() const { return from_hz_; }
  uint64_t to_hz() const { return to_hz_; }

  uint64_t frames(uint64_t count) const;
  double frames(double count) const;
  // Of the last frame of something: what lies up to it keeps its length.
  uint64_t last_frame(uint64_t place) const;
  uint64_t period(uint64_t time) const;  // that one frame takes, in any unit

 private:
  uint64_t from_hz_, to_hz_;
};

// Cue points, loops, regions, markers, time references, cue sheets, and tags that count frames. What counts frames in a
// way that is not known here is left out, and named in `left_out`. [any thread]
Metadata at_rate(const Metadata& metadata, const RateChange& change);

}  // namespace coil::cli
