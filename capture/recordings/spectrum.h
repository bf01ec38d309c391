// Fourier transforms of whole signals, and the linear response between two signals.
#pragma once

#include <complex>
#include <span>
#include <vector>

namespace coil::capture {

// The part of `wet` that is a linear function of `dry`, per frequency. Bin k is at k / (2 (bins - 1)) of the sample
// rate.
struct LinearResponse {
  std::vector<std::complex<double>> gain;  // cross-spectrum over the dry signal's power
  std::vector<double> coherence;           // 0 to 1: the share of the wet power that is linearly related to the dry
                                           // signal

  int fft_frames() const { return 2 * (static_cast<int>(gain.size()) - 1); }
};

// Welch's method: Hann windows of `fft_frames` (a power of two) with 50 % overlap, summed over any number of passages.
class ResponseSum {
 public:
  explicit ResponseSum(int fft_frames = 8192);
  // Both signals have equal length.
  void add(std::span<const float> dry, std::span<const float> wet);
  void add(const ResponseSum& other);  // of the same fft_frames
  LinearResponse response() const;

 private:
  int fft_frames_;
  std::vector<std::complex<double>> cross_;
  std::vector<double> power_dry_, power_wet_;
};

LinearResponse linear_response(std::span<const float> dry, std::span<const float> wet);

// The offset at which `part` matches `whole` best, and how clear that peak is.
struct Match {
  int offset_frames = 0;   // part[i] matches whole[i + offset]; may be negative
  double correlation = 0;  // of the overlap, with its sign: -1 to 1
  double peak_to_rms = 0;  // of the whitened cross-correlation; below about 8 it is chance
};
Match best_match(std::span<const float> part, std::span<const float> whole);

// The delay of `wet` beyond that of a minimum-phase device with the same frequency response. A device's own filters do
// not count as delay, so the pair stays causal when this delay is removed. It is the slope of a line fitted to the
// excess phase of the response.
struct ExcessDelay {
  double frames = 0;
  bool inverted = false;
  double fit = 0;  // 0 to 1: how well a delay and a sign explain the excess phase
};
ExcessDelay excess_delay(const LinearResponse& response, double search_frames);

// The delay of `now` relative to the known response `before`, and how well the phases of the two agree (0 to 1) with
// this delay and without it.
struct RelativeDelay {
  double frames = 0, agreement = 0, agreement_without = 0;
};
RelativeDelay relative_delay(const LinearResponse& now, const LinearResponse& before, double search_frames);

}  // namespace coil::capture
