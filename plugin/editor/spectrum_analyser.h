// Power spectrum of a signal in bands of equal musical width, smoothed in time.
#pragma once

#include <juce_dsp/juce_dsp.h>

#include <span>
#include <vector>

namespace coil::plugin {

// A sine at full scale reads 0 dB. One thread.
class SpectrumAnalyser {
 public:
  static constexpr int kBands = 144;
  static constexpr float kLowHz = 25, kHighHz = 20000, kFloorDb = -96;

  // Chooses the window length for this rate, and clears the smoothing.
  void prepare(double rate_hz);
  size_t window_frames() const { return window_.size(); }

  // `frames`: the latest window_frames(); `seconds` since the last call. Returns whether any band changed visibly.
  bool update(std::span<const float> frames, float seconds);

  const std::vector<float>& bands_db() const { return shown_db_; }
  static float band_hz(float band);  // its middle

 private:
  double rate_hz_ = 0;
  std::unique_ptr<juce::dsp::FFT> fft_;
  std::vector<float> window_, buffer_, shown_db_ = std::vector<float>(kBands, kFloorDb);
};

}  // namespace coil::plugin
