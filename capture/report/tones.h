// What a device adds to steady sines: harmonics, and everything else.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ssm/run/model.h"

namespace coil::capture {

inline constexpr size_t kHarmonics = 10;

// Levels of harmonics 1 to 10 in dB relative to the first; empty above 0.45 of the sample rate.
using Harmonics = std::array<std::optional<double>, kHarmonics>;

// Of a steady piece of sound, with a Hann window of its length.
Harmonics harmonics_of(std::span<const float> sound, double hz, double sample_rate_hz);
double thd_db(const Harmonics& harmonics);  // power of harmonics 2 to 10 over that of the first

// Power off the harmonics of a sine (aliasing and noise), over all power except a constant's, in dB. `sound` is a
// steady piece of a power of two of frames. Empty where aliasing would fold onto the harmonics themselves.
std::optional<double> off_harmonics_db(std::span<const float> sound, double hz, double sample_rate_hz);

// One sine at one level: the model's response, and the device's if the recordings contain that sine.
struct Tone {
  double hz = 0, level_dbfs = 0;  // level of the peak
  Harmonics model;
  std::optional<Harmonics> device;
  std::optional<double> model_off_db, device_off_db;  // off the harmonics, if the recordings contain that sine
};

// The model's steady response to a generated sine.
Tone model_tone(const std::shared_ptr<const ssm::Model>& model, std::span<const float> controls, double hz,
                double level_dbfs);

// The spectrum of a model's steady response to a sine.
struct ToneSpectrum {
  double hz = 0, bin_hz = 0;    // hz: of the sine; near the requested frequency
  std::vector<float> level_db;  // of each bin, relative to the strongest
  double off_harmonics_db = 0;  // power off the harmonics (aliasing), over all power except a constant's
};
ToneSpectrum tone_spectrum(const std::shared_ptr<const ssm::Model>& model, std::span<const float> controls, double hz,
                           double level_dbfs);

// The sines of the test signal, if `dry` contains it: the same frames of `wet` and `model`. All three are aligned and
// of equal length.
std::vector<Tone> recorded_tones(std::span<const float> dry, std::span<const float> wet, std::span<const float> model,
                                 double sample_rate_hz);

}  // namespace coil::capture
