// Sample-rate conversion of a whole signal in pieces, of the best quality and without delay. For files, not for the
// audio thread.
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
  // Throws Error if the library refuses the rates.
  Resampler(double from_hz, double to_hz, int channels);

  // Interleaved frames. Appends the frames that can be computed already. The filter looks ahead, so the output lags
  // some hundreds of frames behind the input; further input brings them out.
  void process(std::span<const float> in, std::vector<float>& out);
  void reset();  // clears the signal memory; throws Error if memory runs out

 private:
  struct Deleter {
    void operator()(::soxr* handle) const;
  };

  std::unique_ptr<::soxr, Deleter> handle_;
  double ratio_;
  int channels_;
};

}  // namespace coil::dsp
