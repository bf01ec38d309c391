// One sound file through one model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/progress.h"
#include "cli/process/rig_file.h"
#include "cli/sound/sound_format.h"
#include "cli/sound/sound_reader.h"
#include "dsp/offline_processor.h"
#include "ssm/run/model.h"

namespace coil::cli {

struct FileJob {
  std::filesystem::path in, out;  // "-": standard input or output
  bool create_folder = false;     // make the folder of `out` first
  std::vector<float> controls;    // card order and units
  FormatRequest format;
  double weight = 1;  // how much work it is, for the progress
};

struct ProcessSettings {
  std::shared_ptr<const ssm::Model> model;
  std::shared_ptr<const RigFile> rig;  // in place of a model and all that belongs to it
  std::shared_ptr<ssm::Executor> executor;
  dsp::RateMode rate_mode = dsp::RateMode::model_default;
  double gain_db = 0;
  bool dither = true;
  int block_frames = 0;               // given to the executor at once
  std::string precision = "float32";  // of the executor's products
};

struct FileReport {
  int64_t frames = 0;
  int sample_rate_hz = 0;
  int channels = 0;
  int format = 0;  // the output's, libsndfile's
  int64_t output_frames = 0;
  int output_rate_hz = 0;
  int wanted_kbits = 0, most_kbits = 0;    // of an encoder that has fewer than were wanted; else 0
  double seconds = 0;                      // of sound
  double wall_seconds = 0;                 // that it took
  double peak = 0;                         // of the output, 1: full scale
  std::optional<double> loudness_lufs;     // of the output, as dsp::LoudnessMeter
  std::vector<std::string> lost_metadata;  // kinds that the output cannot hold
  int64_t clipped = 0;      // samples beyond full scale in an output that cannot hold them: any but floating point
  dsp::InputFaults faults;  // samples of the input that were taken as 0
  uint64_t restarts = 0;    // how often the model overflowed and started anew
  SoundFaults source;       // what was wrong with the input's file
  std::string layout_loss;  // of the loudspeakers that the channels are for; empty: none
};

// Fills `report` as far as it gets, and moves `progress` on by one file in all. Throws Failure, Interrupted and Error;
// then there is no output. [any thread]
void process_file(const FileJob& job, const ProcessSettings& settings, Progress& progress, FileReport& report);

}  // namespace coil::cli
