// Hann window, FFT, mean power per band, fast rise and slow fall.
#include "plugin/editor/spectrum_analyser.h"

#include <algorithm>
#include <cmath>

namespace coil::plugin {
namespace {

constexpr double kWindowSeconds = 0.085;
constexpr float kRisePerSecond = 18, kFallDbPerSecond = 34, kVisibleDb = 0.15f;

}  // namespace

float SpectrumAnalyser::band_hz(float band) { return kLowHz * std::pow(kHighHz / kLowHz, band / (kBands - 1)); }

void SpectrumAnalyser::prepare(double rate_hz) {
  if (rate_hz == rate_hz_) return;
  rate_hz_ = rate_hz;
  const int order = std::max(9, static_cast<int>(std::lround(std::log2(rate_hz * kWindowSeconds))));
  const size_t size = size_t{1} << order;
  fft_ = std::make_unique<juce::dsp::FFT>(order);
  window_.resize(size);
  buffer_.assign(2 * size, 0);
  for (size_t i = 0; i < size; ++i)
    window_[i] = static_cast<float>(
        0.5 - 0.5 * std::cos(juce::MathConstants<double>::twoPi * static_cast<double>(i) / static_cast<double>(size)));
  std::fill(shown_db_.begin(), shown_db_.end(), kFloorDb);
}

bool SpectrumAnalyser::update(std::span<const float> frames, float seconds) {
  if (!fft_ || frames.size() != window_.size()) return false;
  const auto size = window_.size();
  std::fill(buffer_.begin(), buffer_.end(), 0.0f);
  for (size_t i = 0; i < size; ++i) buffer_[i] = frames[i] * window_[i];
  fft_->performFrequencyOnlyForwardTransform(buffer_.data(), true);

  // A Hann window halves the amplitude, and a real sine has half of its amplitude at the negative frequency: hence 4 /
  // size.
  const float scale = 4.0f / static_cast<float>(size);
  const auto bins_per_hz = static_cast<float>(static_cast<double>(size) / rate_hz_);
  const auto power_at = [&](float bin) {  // linear interpolation between bins
    const auto low = std::min(static_cast<size_t>(bin), size / 2 - 1);
    const float part = bin - static_cast<float>(low);
    const float magnitude = scale * (buffer_[low] * (1 - part) + buffer_[low + 1] * part);
    return magnitude * magnitude;
  };
  bool moved = false;
  for (int band = 0; band < kBands; ++band) {
    const auto b = static_cast<float>(band);
    const float from = band_hz(b - 1.5f) * bins_per_hz,
                to = std::min(band_hz(b + 1.5f) * bins_per_hz, static_cast<float>(size / 2));
    float power = 0;
    if (from < to) {
      const int points = std::max(3, static_cast<int>(to - from));
      for (int i = 0; i < points; ++i)
        power += power_at(from + (to - from) * (static_cast<float>(i) + 0.5f) / static_cast<float>(points));
      power /= static_cast<float>(points);
    }
    const float now_db = std::max(kFloorDb, 10 * std::log10(power + 1e-12f));
    auto& shown = shown_db_[static_cast<size_t>(band)];
    const float before = shown;
    shown = now_db > shown ? shown + (now_db - shown) * std::min(1.0f, kRisePerSecond * seconds)
                           : std::max(now_db, shown - kFallDbPerSecond * seconds);
    moved |= std::abs(shown - before) > kVisibleDb;
  }
  return moved;
}

}  // namespace coil::plugin
