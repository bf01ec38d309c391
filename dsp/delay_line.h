// Delays one channel by whole frames; the delay can change without a click.
#pragma once

#include <span>
#include <vector>

#include "dsp/ramp.h"

namespace coil::dsp {

class DelayLine {
 public:
  // A change of the delay cross-fades over `fade_frames`. [main-thread]
  DelayLine(int max_delay_frames, int fade_frames);

  // Clears the signal, keeps the delay. [audio-thread]
  void reset() noexcept;
  // 0 to max_delay_frames. If a fade is running, the new delay takes effect after it; `at_once` changes the delay
  // without a fade. [audio-thread]
  void set_delay(int frames, bool at_once = false) noexcept;
  // In place, any number of frames. [audio-thread]
  void process(std::span<float> samples) noexcept;

 private:
  void write(std::span<const float> samples) noexcept;
  void read(std::span<float> samples) const noexcept;

  static constexpr int kMaxPiece = 256;  // frames written before they are read

  int max_delay_frames_;
  std::vector<float> ring_;  // size is a power of two
  int position_ = 0;         // where the next frame goes
  int wanted_ = 0, delay_ = 0, from_ = 0;
  Ramp fade_;  // from `from_` to `delay_`
};

}  // namespace coil::dsp
