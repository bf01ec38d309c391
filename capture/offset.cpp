// Correlation of both signals over the first seconds, by FFT.
#include "capture/offset.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <unsupported/Eigen/FFT>
#include <vector>

namespace coil::capture {
namespace {

constexpr double kSearchSeconds = 1, kSoundSeconds = 20;
constexpr std::ptrdiff_t kOwnFrames = 32;   // a peak nearer to 0 may come from the device's filters
constexpr std::ptrdiff_t kSafetyFrames = 8;

std::vector<std::complex<float>> spectrum(Eigen::FFT<float>& fft, std::span<const float> signal, size_t size) {
  std::vector<float> padded(size);
  std::copy_n(signal.begin(), std::min(signal.size(), size / 2), padded.begin());
  std::vector<std::complex<float>> bins;
  fft.fwd(bins, padded);
  return bins;
}

}  // namespace

Offset align(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz) {
  size_t size = 2;
  while (size < 2 * size_t(kSoundSeconds * sample_rate_hz) && size < 2 * std::max(dry.size(), wet.size())) size *= 2;
  Eigen::FFT<float> fft;
  std::vector<std::complex<float>> cross = spectrum(fft, wet, size);
  const std::vector<std::complex<float>> input = spectrum(fft, dry, size);
  for (size_t i = 0; i < cross.size(); ++i) cross[i] *= std::conj(input[i]);
  std::vector<float> correlation;
  fft.inv(correlation, cross, std::ptrdiff_t(size));

  const std::ptrdiff_t most = std::min(std::ptrdiff_t(kSearchSeconds * sample_rate_hz), std::ptrdiff_t(size / 2) - 1);
  std::ptrdiff_t peak = 0;
  const auto at = [&](std::ptrdiff_t lag) { return correlation[size_t(lag < 0 ? lag + std::ptrdiff_t(size) : lag)]; };
  for (std::ptrdiff_t lag = -most; lag <= most; ++lag)
    if (std::abs(at(lag)) > std::abs(at(peak))) peak = lag;
  return {std::abs(peak) <= kOwnFrames ? 0 : peak - kSafetyFrames, at(peak) < 0};
}

}  // namespace coil::capture
