// Which model is meant by a name on the command line, and which values its knobs get.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ssm/model/checkpoint.h"
#include "ssm/run/model.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace coil::cli {

// `name` is a path, or the name of a preset in one of the folders of $COIL_PRESETS (separated by colons), of
// ../share/coil/presets beside the program, or of the source tree. A name without a slash that is a preset's means the
// preset, but for a file here whose name ends in .safetensors. Throws Failure. [main-thread]
// `window`: how many frames attention may look back, in place of what the config says; 0: as it says.
ssm::Checkpoint open_model(const std::string& name, int window = 0);
std::shared_ptr<const ssm::Model> load_model(const ssm::Checkpoint& checkpoint, ssm::Target target, bool quiet = false);
std::shared_ptr<const ssm::Model> load_model(const std::string& name, ssm::Target target = ssm::Target::best());

// A cabinet's sound: a path, or the name of a response in `cabinets/` of one of those folders. Throws Failure where a
// name without extension is neither. [main-thread]
std::filesystem::path find_cabinet(const std::string& name);

// What a model's file says that has no effect, a line each and each once, to standard error. load_model has done so.
// [main-thread]
void print_warnings(const std::vector<std::string>& warnings);

// The option --window, for open_model. [main-thread]
CLI::Option* add_window_option(CLI::App& command, int& window);

// The option --weights: a format for ssm::weight_format_from_name. [main-thread]
void add_weights_option(CLI::App& command, std::string& weights);

// What the reader recognises a model by: its file's name, or the last folder of a model directory.
std::string short_name(const std::string& file);

// One value per control of the card, in its order and units: the defaults, changed by `settings` ("drive=7"). Throws
// Failure. [main-thread]
std::vector<float> control_values(const ssm::Model& model, const std::vector<std::string>& settings);

}  // namespace coil::cli
