// Kaiser-windowed sincs.
#include "train/circuits/resampling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace coil::circuits {
namespace {

constexpr double kRateHz = 48000, kAttenuationDb = 110;

double bessel(double x) {
  double sum = 1, term = 1;
  for (int k = 1; term > 1e-18 * sum; ++k) term *= (x / (2 * k)) * (x / (2 * k)), sum += term;
  return sum;
}

int half_length(double transition_hz) {
  return int(std::ceil((kAttenuationDb - 8) / (2.285 * 2 * std::numbers::pi * transition_hz / kRateHz) / 2));
}

// At the oversampled rate, over +-half samples of 48 kHz, with unit gain.
std::vector<double> prototype(int factor, int half, double cutoff_hz) {
  const double beta = 0.1102 * (kAttenuationDb - 8.7);
  std::vector<double> h(size_t(2 * half * factor) + 1);
  double sum = 0;
  for (size_t i = 0; i < h.size(); ++i) {
    const double t = double(i) / factor - half, x = std::numbers::pi * 2 * cutoff_hz / kRateHz * t;
    h[i] = (x == 0 ? 1 : std::sin(x) / x) * bessel(beta * std::sqrt(std::max(0.0, 1 - t * t / (half * half))));
    sum += h[i];
  }
  for (double& x : h) x /= sum;
  return h;
}

}  // namespace

Interpolator::Interpolator(int factor) : factor_(factor), half_(half_length(8000)) {
  const std::vector<double> h = prototype(factor, half_, 24000);
  const long width = 2 * half_ + 1;
  taps_.assign(size_t(factor * width), 0);
  for (long phase = 0; phase < factor; ++phase) {
    for (long j = 0; j < width; ++j) {
      const long at = phase + (2 * half_ - j) * factor;
      if (at < long(h.size())) taps_[size_t(phase * width + j)] = h[size_t(at)] * factor;
    }
  }
}

void Interpolator::run(const std::vector<float>& in, long from, long frames, double* out, size_t stride) const {
  const long width = 2 * half_ + 1;
  std::vector<double> window(static_cast<size_t>(width));
  for (long t = from; t < from + frames; ++t) {
    for (long j = 0; j < width; ++j) {
      const long at = t - half_ + j;
      window[size_t(j)] = at >= 0 && at < long(in.size()) ? double(in[size_t(at)]) : 0;
    }
    for (long phase = 0; phase < factor_; ++phase) {
      const double* taps = taps_.data() + phase * width;
      double sum = 0;
      for (long j = 0; j < width; ++j) sum += taps[j] * window[size_t(j)];
      *out = sum;
      out += stride;
    }
  }
}

Decimator::Decimator(int factor) : factor_(factor), half_(half_length(4000)), taps_(prototype(factor, half_, 22000)) {}

void Decimator::run(const double* in, size_t lanes, long frames, double* out) const {
  std::fill_n(out, size_t(frames) * lanes, 0.0);
  for (long t = 0; t < frames; ++t) {
    const double* from = in + size_t(t * factor_) * lanes;
    double* to = out + size_t(t) * lanes;
    for (const double tap : taps_)
      for (size_t lane = 0; lane < lanes; ++lane) to[lane] += tap * *from++;
  }
}

}  // namespace coil::circuits
