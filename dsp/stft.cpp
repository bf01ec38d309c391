// Stft on Eigen's FFT.
#include "dsp/stft.h"

#include <cmath>
#include <complex>
#include <numbers>
#include <string>
#include <unsupported/Eigen/FFT>
#include <vector>

#include "base/error.h"

namespace coil::dsp {

struct Stft::Impl {
  std::vector<float> window, windowed;
  std::vector<std::complex<float>> spectrum;
  Eigen::FFT<float> fft;
  float scale = 0;
};

Stft::Stft(int size) : impl_(std::make_unique<Impl>()) {
  if (size < 4 || (size & (size - 1)) != 0) {
    throw Error("an STFT of " + std::to_string(size) + " frames: the size must be a power of two of at least 4");
  }
  impl_->window.resize(size);
  double sum = 0;
  for (int i = 0; i < size; ++i) {
    const double w = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / size);
    impl_->window[i] = static_cast<float>(w);
    sum += w;
  }
  impl_->scale = static_cast<float>(2 / sum);  // a sine's energy is split between its two bins at +f and -f
  impl_->windowed.resize(size);
  impl_->fft.SetFlag(Eigen::FFT<float>::HalfSpectrum);
}

Stft::~Stft() = default;
Stft::Stft(Stft&&) noexcept = default;
Stft& Stft::operator=(Stft&&) noexcept = default;

int Stft::size() const { return static_cast<int>(impl_->window.size()); }

void Stft::analyse(std::span<const float> frames, std::span<float> power) {
  for (int i = 0; i < size(); ++i) impl_->windowed[i] = frames[i] * impl_->window[i];
  impl_->fft.fwd(impl_->spectrum, impl_->windowed);
  for (int k = 0; k < bins(); ++k) power[k] = std::norm(impl_->spectrum[k] * impl_->scale);
}

}  // namespace coil::dsp
