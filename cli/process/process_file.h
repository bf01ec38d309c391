// One sound file through one model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/progress.h"
#include "cli/process/output_meter.h"
#include "cli/process/rig_file.h"
#include "cli/sound/sound_format.h"
#include "cli/sound/sound_reader.h"
#include "dsp/offline_processor.h"
#include "ssm/run/model.h"

namespace coil::cli {

struct FileJob {
  std::filesystem::path in, out;  // "-": standard input or output
  bool create_folder = false;     // create the folder of `out` first
  std::vector<float> controls;    // in the card's order and units
  FormatRequest format;
  double weight = 1;  // estimated work, for the progress
};

struct ProcessSettings {
  std::shared_ptr<const ssm::Model> model;
  std::shared_ptr<const RigFile> rig;  // replaces a model and its settings
  std::shared_ptr<ssm::Executor> executor;
  dsp::RateMode rate_mode = dsp::RateMode::model_default;
  double gain_db = 0;
  bool dither = true;
  int block_frames = 0;               // per call of the executor
  std::string precision = "float32";  // of the executor's matrix products
};

struct FileReport {
  int64_t frames = 0;
  int sample_rate_hz = 0;
  int channels = 0;
  int format = 0;  // of the output, libsndfile's
  int64_t output_frames = 0;
  int output_rate_hz = 0;
  int wanted_kbits = 0, most_kbits = 0;  // if an encoder supports less than requested; else 0
  double seconds = 0;                    // of sound
  double wall_seconds = 0;               // duration of the processing
  OutputLevels levels;
  std::vector<std::string> lost_metadata;  // kinds that the output cannot hold
  dsp::InputFaults faults;                 // samples of the input that counted as 0
  uint64_t restarts = 0;                   // how often the model overflowed and was restarted
  SoundFaults source;                      // faults of the input file
  std::string layout_loss;                 // loss of loudspeaker positions; empty: none
};

// Fills `report` as far as it gets, and advances `progress` by one file in total. Throws Failure, Interrupted and
// Error; then there is no output. [any thread]
void process_file(const FileJob& job, const ProcessSettings& settings, Progress& progress, FileReport& report);

}  // namespace coil::cli
