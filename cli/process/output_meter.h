// The last stage before writing: gain, and the measurements for the report.
#pragma once

#include <memory>

#include "cli/process/process_file.h"
#include "cli/sound/sound_writer.h"

namespace coil::cli {

// Applies `gain_db` and writes to `writer`. Fills the fields peak and clipped of `report` and, in commit(),
// loudness_lufs. Until then only this writer may access them, on its thread.
std::unique_ptr<SoundWriter> metered(std::unique_ptr<SoundWriter> writer, const SoundInfo& info, double gain_db,
                                     FileReport& report);

}  // namespace coil::cli
