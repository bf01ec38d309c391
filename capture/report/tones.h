// What a device adds to steady sines: harmonics, and everything that is none.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ssm/run/model.h"

namespace coil::capture {

inline constexpr size_t kHarmonics = 10;

// Levels of harmonics 1 to 10 in dB over the first; those above 0.45 of the sample rate are not there.
using Harmonics = std::array<std::optional<double>, kHarmonics>;

// Of a steady piece of sound, through a Hann window as long as it.
Harmonics harmonics_of(std::span<const float> sound, double hz, double sample_rate_hz);
double thd_db(const Harmonics& harmonics);  // power of harmonics 2 to 10 over that of the first

// One sine at one level, as the model gives it, and as the device gave it where the recordings hold that sine.
struct Tone {
  double hz = 0, level_dbfs = 0;  // of its peak
  Harmonics model;
  std::optional<Harmonics> device;
};

// A model's answer to a sine of its own, once it is steady.
Tone model_tone(const std::shared_ptr<const ssm::Model>& model, std::span<const float> controls, double hz,
                double level_dbfs);

// The spectrum of a model's answer to a sine, once it is steady.
struct ToneSpectrum {
  double hz = 0, bin_hz = 0;    // hz: of the sine, which is near the one asked for
  std::vector<float> level_db;  // of each bin over the strongest
  double off_harmonics_db = 0;  // power off the harmonics over all power but that of a constant: what aliasing adds
};
ToneSpectrum tone_spectrum(const std::shared_ptr<const ssm::Model>& model, std::span<const float> controls, double hz,
                           double level_dbfs);

// The sines of the test signal, if `dry` holds it: the same frames of `wet` and `model` beside each other. All three
// are aligned and equally long.
std::vector<Tone> recorded_tones(std::span<const float> dry, std::span<const float> wet, std::span<const float> model,
                                 double sample_rate_hz);

}  // namespace coil::capture
