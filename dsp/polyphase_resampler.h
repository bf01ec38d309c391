// Sample-rate conversion for the audio thread: one channel, a rational ratio, a short linear-phase filter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coil::dsp {

// A windowed sinc (Kaiser). The pass band ends at 20 kHz or 0.4535 of the lower rate, whichever is less. Aliases that
// would fall into it are attenuated by 100 dB. Frame k of the output belongs to the time k / to_hz of the input: the
// only delay is waiting for input.
class PolyphaseResampler {
 public:
  // Rates are rounded to whole Hz. Throws Error if their ratio cannot be written with small whole numbers.
  // [main-thread]
  PolyphaseResampler(double from_hz, double to_hz, int max_frames_in);

  // At most max_frames_in frames. Returns the number of frames written to `out`: the growth of frames_out(all frames in
  // so far), at most max_frames_out(). [audio-thread]
  int process(std::span<const float> in, float* out) noexcept;
  void reset() noexcept;  // [audio-thread]

  int64_t frames_out(int64_t frames_in) const noexcept;  // since reset
  int max_frames_out() const noexcept;                   // per call
  int up() const noexcept { return up_; }                // to_hz / from_hz = up / down, in lowest terms
  int down() const noexcept { return down_; }

 private:
  int up_ = 1, down_ = 1;
  int taps_ = 0;  // per phase; half of them lie in the future
  int max_frames_in_;
  std::vector<float> coefficients_;  // (phase, tap), taps in order of time
  std::vector<float> history_;       // the last input frames, and space for one call's
  int kept_ = 0;                     // frames in history_
  int64_t first_ = 0;                // index in history_ of the next output's first tap
  int phase_ = 0;
};

}  // namespace coil::dsp
