// The last things done to the sound before it is written: gain, and what the report says of it.
#pragma once

#include <memory>

#include "cli/process/process_file.h"
#include "cli/sound/sound_writer.h"

namespace coil::cli {

// Writes to `writer` with `gain_db`; fills the fields peak and clipped of `report` and, in commit(), loudness_lufs.
// Until then these are the writer's, on whatever thread it is used.
std::unique_ptr<SoundWriter> metered(std::unique_ptr<SoundWriter> writer, const SoundInfo& info, double gain_db,
                                     FileReport& report);

}  // namespace coil::cli
