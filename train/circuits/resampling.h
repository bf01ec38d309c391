// Between 48 kHz and the solver's rate, without delay: what the circuit does stays aligned to its input.
#pragma once

#include <cstddef>
#include <vector>

namespace coil::circuits {

// Linear-phase windowed sinc: flat to 20 kHz; images from 28 kHz on, and what lies above 24 kHz on the way back, are
// 110 dB down.
class Interpolator {
 public:
  explicit Interpolator(int factor);
  // Samples of the band-limited signal from `from` on, in samples of 48 kHz; `out` is `stride` apart.
  void run(const std::vector<float>& in, long from, long frames, double* out, size_t stride) const;

 private:
  int factor_, half_;
  std::vector<double> taps_;  // [phase][2 half + 1]
};

class Decimator {
 public:
  explicit Decimator(int factor);
  int lead() const { return half_; }  // samples of 48 kHz that it needs before and behind one

  // `in`: the oversampled signals of `lanes` circuits beside each other, from sample -lead() on; `out` likewise.
  void run(const double* in, size_t lanes, long frames, double* out) const;

 private:
  int factor_, half_;
  std::vector<double> taps_;
};

}  // namespace coil::circuits
