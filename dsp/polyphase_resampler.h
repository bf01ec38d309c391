// Sample-rate conversion for the audio thread: one channel, a fixed ratio of whole numbers, a short linear-phase
// filter.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace coil::dsp {

// Windowed sinc (Kaiser), flat to 20 kHz or 0.4535 of the lower rate, whichever is less, and 100 dB down from where
// aliases would fall back into that band. Frame k of the output belongs to the time k / to_hz of the input: the only
// delay is waiting for input.
class PolyphaseResampler {
 public:
  // Rates are taken to the nearest Hz. Throws Error when their ratio has no small whole numbers. [main-thread]
  PolyphaseResampler(double from_hz, double to_hz, int max_frames_in);

  // At most max_frames_in frames. Returns how many frames were written to `out`: what made
  // frames_out(all frames in so far) grow, at most max_frames_out(). [audio-thread]
  int process(std::span<const float> in, float* out) noexcept;
  void reset() noexcept;  // [audio-thread]

  int64_t frames_out(int64_t frames_in) const noexcept;  // since reset
  int max_frames_out() const noexcept;                   // of one call
  int up() const noexcept { return up_; }                // to_hz / from_hz = up / down, in lowest terms
  int down() const noexcept { return down_; }

 private:
  int up_ = 1, down_ = 1;
  int taps_ = 0;  // per phase; half of them look ahead
  int max_frames_in_;
  std::vector<float> coefficients_;  // (phase, tap), taps in the order of time
  std::vector<float> history_;       // the last frames in, then room for one call's
  int kept_ = 0;                     // frames in history_
  int64_t first_ = 0;                // where the next output's first tap lies in history_
  int phase_ = 0;
};

}  // namespace coil::dsp
