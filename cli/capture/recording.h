// Reads recordings of a device from files, and prepares them for training.
#pragma once

#include <filesystem>

#include "capture/recordings/prepare.h"

namespace coil::cli {

// Throws Failure if the file cannot be read or contains NaN or infinity. [main-thread]
capture::Recording read_recording(const std::filesystem::path& path);

// Reads both files and aligns them at the model's rate. Prints all findings to standard error; throws Failure for those
// that prevent training. `polarity`: kAutomatic is replaced by the decision for this pair, so that all takes of a
// device are treated alike. [main-thread]
capture::PreparedPair read_pair(const std::filesystem::path& dry, const std::filesystem::path& wet,
                                double sample_rate_hz, capture::Polarity& polarity);

// "coil: warning: 'wet.wav': ..." on standard error.
void print_finding(const std::filesystem::path& wet, const capture::Finding& finding);

// Reads a pair that needs no alignment and no checks. Throws Failure unless both files are mono, of equal length and at
// the requested rate.
capture::PreparedPair read_pair_as_is(const std::filesystem::path& dry, const std::filesystem::path& wet,
                                      double sample_rate_hz);

// `coil capture --check`: prints only the findings, as sentences or as one JSON object. Throws Failure if nothing can
// be learned. [main-thread]
void check_recordings(const std::filesystem::path& dry, const std::filesystem::path& wet, double sample_rate_hz,
                      bool json);

// `coil capture --signal`: writes the test signal as a 24-bit WAV file, and prints how to use it. Throws Failure.
// [main-thread]
void write_test_signal(const std::filesystem::path& path, int sample_rate_hz);

}  // namespace coil::cli
