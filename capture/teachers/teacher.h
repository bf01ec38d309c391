// A capture that another program made: a network to learn from, and what its file says of itself.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "capture/teachers/network.h"

namespace coil::capture {

struct Teacher {
  std::unique_ptr<Network> network;  // the sound comes first, then one input for each knob
  size_t knobs = 0;                  // 0 to 1 each
  double sample_rate_hz = 48000;
  std::string program, architecture, version;
  nlohmann::ordered_json metadata;           // as the file has it
  std::optional<double> input_level_dbu;     // of a sine whose peak is full scale, at the device's input
  std::optional<double> output_level_dbu;    // the same, at its output
  std::string licence;                       // empty: none given
  std::vector<std::string> notes, warnings;  // of reading, one sentence each
};

// Whether the file's name ends as such a capture's does, so that it is taken for one and not for a recording.
bool is_teacher_name(const std::filesystem::path& path);

// Neural Amp Modeler's .nam, AIDA-X' and RTNeural's JSON, Proteus' JSON: told apart by what is in them. Throws Error
// that names the file.
Teacher read_teacher(const std::filesystem::path& path);

}  // namespace coil::capture
