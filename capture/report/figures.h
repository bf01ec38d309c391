// All figures of a report, measured by running the model file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capture/report/report.h"
#include "capture/report/tones.h"
#include "capture/recordings/take.h"
#include "ssm/run/model.h"

namespace coil::capture {

// The energy of the error and of the device's sound.
struct ErrorSums {
  double error = 0, energy = 0;

  void add(const ErrorSums& other, double weight = 1) {
    error += weight * other.error, energy += weight * other.energy;
  }
  double esr() const { return energy > 0 ? error / energy : 0; }
  bool empty() const { return !(energy > 0); }
};

struct HeldOutPart {
  size_t take;
  Span span;
  ErrorSums sums;
};

struct TakeFigures {
  std::vector<float> controls;  // in the card's order and units
  std::vector<float> output;    // of the model
  double weight = 1;            // all settings of the knobs have equal weight
  ErrorSums held_out, all;
};

// Pieces of 20 ms whose dry sound has this level.
struct LevelFigures {
  double low_dbfs, high_dbfs;  // root mean square
  ErrorSums held_out, all;
};

// One third of an octave of the held-out parts, in dB relative to the device's whole sound there.
struct BandFigures {
  double centre_hz, wet_db, error_db;
};

struct AliasingFigures {
  double level_dbfs;
  ToneSpectrum spectrum;  // at the recorded setting with the most energy off the harmonics
  size_t take;            // the take with that setting
};

struct RestFigures {
  double peak_at_rest = 0;       // of the model after silence only
  double second_later_dbfs = 0;  // peak, one second after the end of a sound
  double delay_frames = 0;       // of the model, relative to the dry sound
  bool inverted = false;
};

struct Figures {
  std::shared_ptr<const ssm::Model> model;
  double ns_per_sample = 0;
  std::vector<TakeFigures> takes;
  std::vector<HeldOutPart> parts;
  ErrorSums held_out, all;  // weighted by take
  std::vector<LevelFigures> levels;
  std::vector<BandFigures> bands;
  size_t hardest = 0, typical = 0;  // indices of held-out parts
  std::vector<Tone> tones;
  bool tones_recorded = false;
  size_t tones_take = 0;  // the take whose setting the tones use
  // The tones whose aliasing can be seen, each at its loudest; empty without recorded tones.
  std::vector<Tone> aliasing_tones;
  std::vector<AliasingFigures> aliasing;
  RestFigures rest;

  double sample_rate_hz() const { return model->config().sample_rate_hz; }
};

// Throws Error if the file is not a model of one channel, a take has another rate or other knobs, or nothing is held
// out.
Figures measure(const ReportInput& input);

}  // namespace coil::capture
