// Recordings of a device as the trainer takes them: one channel, the model's rate, aligned.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "capture/take.h"

namespace coil::cli {

// One channel of a file, resampled. Of several channels the loudest. Throws Failure. [main-thread]
std::vector<float> read_recording(const std::filesystem::path& path, double sample_rate_hz);

// Both files, the wet one moved onto the dry one, both as long as the shorter. What was put right is said in `remarks`, one sentence each.
// Throws Failure. [main-thread]
capture::Take read_take(const std::filesystem::path& dry, const std::filesystem::path& wet, double sample_rate_hz,
                        std::vector<std::string>& remarks);

}  // namespace coil::cli
