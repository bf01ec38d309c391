// A capture that another program made: a network to learn from, and the metadata of its file.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "capture/teachers/network.h"

namespace coil::capture {

// A JSON file of another kind, so that the caller can try it as something else.
class NotACapture : public Error {
 public:
  using Error::Error;
};

struct Teacher {
  std::unique_ptr<Network> network;  // input 0 is the sound; further inputs are knobs
  size_t knobs = 0;                  // 0 to 1 each
  size_t weights = 0;                // of what is played
  bool recurrent = false;            // each frame waits for the one before
  double sample_rate_hz = 48000;
  std::string program, architecture, version;
  nlohmann::ordered_json metadata;           // as in the file
  std::optional<double> input_level_dbu;     // of a sine whose peak is full scale, at the device's input
  std::optional<double> output_level_dbu;    // the same, at its output
  std::string licence;                       // empty: none stated
  std::vector<std::string> notes, warnings;  // from reading the file, one sentence each
};

// Whether the file's extension is that of a capture, so that it is not read as a recording.
bool is_teacher_name(const std::filesystem::path& path);

// Reads Neural Amp Modeler's .nam and the JSON of AIDA-X, RTNeural and Proteus; the content decides which. Throws Error
// that names the file, NotACapture for JSON of another kind.
Teacher read_teacher(const std::filesystem::path& path);

}  // namespace coil::capture
