// Convolution with a long impulse response, without delay, in any blocks.
#pragma once

#include <memory>
#include <span>

namespace coil::dsp {

// One channel. The first taps are multiplied out in the time domain, so that a frame's output needs no later frame.
// What lies behind them is cut into partitions of equal length, whose spectra are multiplied (overlap-save); partitions
// far behind are longer, and their work is spread over the time until it is needed. Sources: Gardner 1995, "Efficient
// convolution without input-output delay"; Wefers 2015, "Partitioned convolution algorithms".
class Convolver {
 public:
  // h: the taps; none: the output is 0. Allocates all that process() needs. [any thread but the audio thread]
  explicit Convolver(std::span<const float> h);
  ~Convolver();
  Convolver(Convolver&&) noexcept;
  Convolver& operator=(Convolver&&) noexcept;

  // Forgets the signal. [audio-thread]
  void reset() noexcept;
  // In place: y[t] = sum_k h[k] x[t - k]. The same for any blocks. [audio-thread]
  void process(std::span<float> samples) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::dsp
