// Sample-rate conversion of a whole signal piece by piece, of the best quality and without delay; for files, not for
// the audio thread.
#pragma once

#include <memory>
#include <span>
#include <vector>

struct soxr;

namespace coil::dsp {

// libsoxr's VHQ recipe (linear phase, 28 bit). Frame k of the output belongs to the time k / to_hz of the input. One
// thread at a time.
class Resampler {
 public:
  // Throws Error for rates that the library refuses.
  Resampler(double from_hz, double to_hz, int channels);

  // Interleaved frames. Appends to `out` what can be computed already: the filter looks ahead, so the output lags
  // behind the input by some hundreds of frames, which further input brings out.
  void process(std::span<const float> in, std::vector<float>& out);
  void reset();  // forgets the signal; throws Error when there is no memory

 private:
  struct Deleter {
    void operator()(::soxr* handle) const;
  };

  std::unique_ptr<::soxr, Deleter> handle_;
  double ratio_;
  int channels_;
};

}  // namespace coil::dsp
