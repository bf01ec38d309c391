// Fourier transforms of whole signals, and the linear response between two signals.
#pragma once

#include <complex>
#include <span>
#include <vector>

namespace coil::capture {

// What of `wet` follows `dry` linearly, per frequency. Bin k lies at k / (2 (bins - 1)) of the sample rate.
struct LinearResponse {
  std::vector<std::complex<double>> gain;  // cross-spectrum over the dry signal's power
  std::vector<double> coherence;           // 0 to 1: the share of the wet power that follows the dry signal

  int fft_frames() const { return 2 * (static_cast<int>(gain.size()) - 1); }
};

// Welch's method: Hann windows of `fft_frames` (a power of two) that overlap by half. Both signals are equally long.
LinearResponse linear_response(std::span<const float> dry, std::span<const float> wet, int fft_frames = 8192);

// The offset at which `part`, slid along `whole`, fits best, and how far that peak stands above the rest.
struct Match {
  int offset_frames = 0;   // part[i] lies at whole[i + offset]; may be negative
  double correlation = 0;  // of the two where they overlap, with its sign: -1 to 1
  double peak_to_rms = 0;  // of the cross-correlation after whitening; below about 8 it is chance
};
Match best_match(std::span<const float> part, std::span<const float> whole);

// The delay of `wet` against what a minimum-phase device of the same frequency response would give. A device's own
// filters are no delay, so that the pair stays causal once this delay is taken out. The excess phase of the response is
// fitted by a straight line.
struct ExcessDelay {
  double frames = 0;
  bool inverted = false;
  double fit = 0;  // 0 to 1: how well a delay and a sign explain the excess phase
};
ExcessDelay excess_delay(const LinearResponse& response, double search_frames);

// The same against a known response: how much later `now` is than `before`.
double relative_delay(const LinearResponse& now, const LinearResponse& before, double search_frames);

}  // namespace coil::capture
