// Resamples between 48 kHz and the solver's rate without delay, so that output and input stay aligned.
#pragma once

#include <cstddef>
#include <vector>

namespace coil::circuits {

// Linear-phase windowed sinc, flat to 20 kHz. Images from 28 kHz on, and on the way back everything above 24 kHz, are
// attenuated by 110 dB.
class Interpolator {
 public:
  explicit Interpolator(int factor);
  // Samples of the band-limited signal from `from` on, counted in samples of 48 kHz; `stride` apart in `out`.
  void run(const std::vector<float>& in, long from, long frames, double* out, size_t stride) const;

 private:
  int factor_, half_;
  std::vector<double> taps_;  // [phase][2 half + 1]
};

class Decimator {
 public:
  explicit Decimator(int factor);
  int lead() const { return half_; }  // samples of 48 kHz needed before and after each

  // `in`: the oversampled signals of `lanes` circuits, interleaved, from sample -lead() on; `out` likewise.
  void run(const double* in, size_t lanes, long frames, double* out) const;

 private:
  int factor_, half_;
  std::vector<double> taps_;
};

}  // namespace coil::circuits
