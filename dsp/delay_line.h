// A delay of one channel by whole frames, changed without a click.
#pragma once

#include <span>
#include <vector>

#include "dsp/ramp.h"

namespace coil::dsp {

class DelayLine {
 public:
  // A change of the delay is a cross-fade of `fade_frames`. [main-thread]
  DelayLine(int max_delay_frames, int fade_frames);

  // Forgets the signal, keeps the delay. [audio-thread]
  void reset() noexcept;
  // From 0 to the longest. A new delay waits until the fade to the last one is over; `at_once` goes there without a
  // fade. [audio-thread]
  void set_delay(int frames, bool at_once = false) noexcept;
  // In place, any number of frames. [audio-thread]
  void process(std::span<float> samples) noexcept;

 private:
  void write(std::span<const float> samples) noexcept;
  void read(std::span<float> samples) const noexcept;

  static constexpr int kMaxPiece = 256;  // frames that are written before they are read

  int max_delay_frames_;
  std::vector<float> ring_;  // of a power of two
  int position_ = 0;         // where the next frame is written
  int wanted_ = 0, delay_ = 0, from_ = 0;
  Ramp fade_;  // from `from_` to `delay_`
};

}  // namespace coil::dsp
