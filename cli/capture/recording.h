// Recordings of a device, read from files and made ready to learn from.
#pragma once

#include <filesystem>

#include "capture/recordings/prepare.h"

namespace coil::cli {

// Throws Failure for a file that cannot be read or holds values that are no numbers. [main-thread]
capture::Recording read_recording(const std::filesystem::path& path);

// Both files on top of each other, at the model's rate. All findings are said on standard error; throws Failure with
// those that forbid training. `polarity`: kAutomatic becomes what was decided for this pair, so that all takes of a
// device are treated alike. [main-thread]
capture::PreparedPair read_pair(const std::filesystem::path& dry, const std::filesystem::path& wet,
                                double sample_rate_hz, capture::Polarity& polarity);

// A pair that needs no alignment and no checks. Throws Failure where the two are not mono, equally long and at the rate
// asked for.
capture::PreparedPair read_pair_as_is(const std::filesystem::path& dry, const std::filesystem::path& wet,
                                      double sample_rate_hz);

// `coil capture --check`: only what was found, as sentences or as one JSON object. Throws Failure where nothing can be
// learned. [main-thread]
void check_recordings(const std::filesystem::path& dry, const std::filesystem::path& wet, double sample_rate_hz,
                      bool json);

// `coil capture --signal`: writes the test signal as a 24-bit WAV file and says how to use it. Throws Failure.
// [main-thread]
void write_test_signal(const std::filesystem::path& path, int sample_rate_hz);

}  // namespace coil::cli
