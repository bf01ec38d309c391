// Convolution with a long impulse response, without latency, for any block sizes.
#pragma once

#include <memory>
#include <span>

namespace coil::dsp {

// One channel. The first taps are convolved in the time domain, so that an output frame needs no later input. The
// remaining taps are divided into partitions of equal length, whose spectra are multiplied (overlap-save). Later
// partitions are longer, and their work is spread over the time until it is needed. Sources: Gardner 1995, "Efficient
// convolution without input-output delay"; Wefers 2015, "Partitioned convolution algorithms".
class Convolver {
 public:
  // h: the taps. If empty, the output is 0. Allocates all memory that process() needs. [any thread but the audio
  // thread]
  explicit Convolver(std::span<const float> h);
  ~Convolver();
  Convolver(Convolver&&) noexcept;
  Convolver& operator=(Convolver&&) noexcept;

  // Clears the signal memory. [audio-thread]
  void reset() noexcept;
  // In place: y[t] = sum_k h[k] x[t - k]. The result does not depend on block sizes. [audio-thread]
  void process(std::span<float> samples) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::dsp
