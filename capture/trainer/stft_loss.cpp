// Eigen's FFT makes the spectra; its inverse carries their gradients back to the frames.
#include "capture/trainer/stft_loss.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <numbers>
#include <unsupported/Eigen/FFT>
#include <vector>

namespace coil::capture {
namespace {

constexpr std::array<size_t, 3> kWindows = {128, 512, 1024};
constexpr size_t kHopsPerWindow = 4;
// Added to the squares of magnitudes: the logarithm of silence is finite, and quiet noise has no weight. Targets have
// an RMS of 1.
constexpr double kLeastPower = 1e-5;

}  // namespace

template <class T>
struct StftLoss<T>::Impl {
  using Spectrum = std::vector<std::complex<T>>;

  // One window length.
  struct Resolution {
    size_t window, hop;
    std::vector<T> shape;
    std::vector<Spectrum> output;           // one per scored window
    std::vector<std::vector<T>> of_output;  // magnitudes
    std::vector<std::vector<T>> of_target;
    std::vector<size_t> begins;
  };

  explicit Impl(size_t frames) : segment_frames(frames) {
    transform.SetFlag(Eigen::FFT<T>::HalfSpectrum);
    for (const size_t window : kWindows) {
      Resolution resolution{window, window / kHopsPerWindow, std::vector<T>(window), {}, {}, {}, {}};
      for (size_t i = 0; i < window; ++i)
        resolution.shape[i] = T(0.5 - 0.5 * std::cos(2 * std::numbers::pi * double(i) / double(window)));
      resolutions.push_back(std::move(resolution));
    }
  }

  void analyse(Resolution& at, std::span<const T> signal, size_t begin, Spectrum& to, std::vector<T>& magnitudes) {
    piece.resize(at.window);
    for (size_t i = 0; i < at.window; ++i) piece[i] = at.shape[i] * signal[begin + i];
    transform.fwd(to, piece);
    magnitudes.resize(at.window / 2 + 1);
    for (size_t k = 0; k < magnitudes.size(); ++k) magnitudes[k] = std::sqrt(std::norm(to[k]) + T(kLeastPower));
  }

  void analyse_all(Resolution& at, std::span<const T> output, std::span<const T> target, std::span<const T> counts) {
    at.begins.clear();
    for (size_t begin = 0; begin + at.window <= segment_frames; begin += at.hop) {
      const auto first = counts.begin() + std::ptrdiff_t(begin);
      if (std::find(first, first + std::ptrdiff_t(at.window), T(0)) == first + std::ptrdiff_t(at.window))
        at.begins.push_back(begin);
    }
    at.output.resize(at.begins.size()), at.of_output.resize(at.begins.size()), at.of_target.resize(at.begins.size());
    for (size_t w = 0; w < at.begins.size(); ++w) {
      analyse(at, target, at.begins[w], spectrum, at.of_target[w]);
      analyse(at, output, at.begins[w], at.output[w], at.of_output[w]);
    }
  }

  // The gradient of the frames from that of the magnitudes, which is added to `to`.
  void carry_back(const Resolution& at, size_t w, const std::vector<T>& of_magnitudes, std::span<T> to) {
    const size_t last = at.window / 2;
    spectrum.resize(last + 1);
    for (size_t k = 0; k <= last; ++k) {
      // The inverse counts all bins but the first and last twice, and divides by the length.
      const T times = T(at.window) / (k == 0 || k == last ? T(1) : T(2));
      spectrum[k] = times * of_magnitudes[k] / at.of_output[w][k] * at.output[w][k];
    }
    piece.resize(at.window);
    transform.inv(piece, spectrum, Eigen::Index(at.window));
    for (size_t i = 0; i < at.window; ++i) to[at.begins[w] + i] += at.shape[i] * piece[i];
  }

  double add(Resolution& at, std::span<T> gradient) {
    double difference = 0, energy = 0, logarithms = 0;
    const double bins = double(at.begins.size() * (at.window / 2 + 1));
    for (size_t w = 0; w < at.begins.size(); ++w) {
      for (size_t k = 0; k <= at.window / 2; ++k) {
        const double x = double(at.of_output[w][k]), y = double(at.of_target[w][k]);
        difference += (x - y) * (x - y), energy += y * y, logarithms += std::abs(std::log(x / y));
      }
    }
    if (!(energy > 2 * bins * kLeastPower)) return 0;  // silent, or no window
    const double ratio = std::sqrt(difference / energy), share = 1 / double(kWindows.size());
    std::vector<T> of_magnitudes(at.window / 2 + 1);
    for (size_t w = 0; w < at.begins.size(); ++w) {
      for (size_t k = 0; k <= at.window / 2; ++k) {
        const double x = double(at.of_output[w][k]), y = double(at.of_target[w][k]);
        const double of_ratio = ratio > 0 ? (x - y) / (ratio * energy) : 0;
        const double of_logarithm = double((x > y) - (x < y)) / (x * bins);
        of_magnitudes[k] = T(share * (of_ratio + of_logarithm));
      }
      carry_back(at, w, of_magnitudes, gradient);
    }
    return share * (ratio + logarithms / bins);
  }

  size_t segment_frames;
  Eigen::FFT<T> transform;
  std::vector<T> piece;
  Spectrum spectrum;
  std::vector<Resolution> resolutions;
};

template <class T>
StftLoss<T>::StftLoss(size_t segment_frames) : impl_(std::make_unique<Impl>(segment_frames)) {}
template <class T>
StftLoss<T>::StftLoss(StftLoss&&) noexcept = default;
template <class T>
StftLoss<T>& StftLoss<T>::operator=(StftLoss&&) noexcept = default;
template <class T>
StftLoss<T>::~StftLoss() = default;

template <class T>
double StftLoss<T>::evaluate(std::span<const T> output, std::span<const T> target, std::span<const T> counts,
                             std::span<T> gradient) {
  std::fill(gradient.begin(), gradient.end(), T(0));
  double loss = 0;
  for (auto& resolution : impl_->resolutions) {
    impl_->analyse_all(resolution, output, target, counts);
    loss += impl_->add(resolution, gradient);
  }
  return loss;
}

template class StftLoss<float>;
template class StftLoss<double>;

}  // namespace coil::capture
