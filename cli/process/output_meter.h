// Measures the sound on its way into a file, for the report.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "cli/sound/sound_writer.h"

namespace coil::cli {

struct OutputLevels {
  double peak = 0;                      // 1: full scale
  std::optional<double> loudness_lufs;  // by dsp::LoudnessMeter
  int64_t clipped = 0;                  // samples beyond full scale in an integer format
};

// Passes everything on to `writer`. Fills `levels`; loudness_lufs in commit(). Until then only this writer may access
// them, on its thread.
std::unique_ptr<SoundWriter> metered(std::unique_ptr<SoundWriter> writer, const SoundInfo& info, OutputLevels& levels);

}  // namespace coil::cli
