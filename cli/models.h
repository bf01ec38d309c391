// Finds the model that a name on the command line means, and the values of its knobs.
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
// ../share/coil/presets beside the program, or of the source tree. A name without a slash means the preset of that
// name, if there is one, unless it ends in .safetensors and names a file here. Throws Failure. [main-thread]
// `window`: how many frames attention may look back, overriding the config; 0: as in the config.
ssm::Checkpoint open_model(const std::string& name, int window = 0);
std::shared_ptr<const ssm::Model> load_model(const ssm::Checkpoint& checkpoint, ssm::Target target, bool quiet = false);
std::shared_ptr<const ssm::Model> load_model(const std::string& name, ssm::Target target = ssm::Target::best());

// The impulse response that a name means: a path, or a file in `cabinets/` in one of the preset folders. Throws Failure
// if a name without extension is neither. [main-thread]
std::filesystem::path find_cabinet(const std::string& name);

// Whether there is a file, folder or preset of this name. [main-thread]
bool names_a_model(const std::string& name);

// The file of the installed cabinet with this name; empty: none. [main-thread]
std::filesystem::path installed_cabinet(const std::string& name);

// Prints each warning once, one per line, to standard error. load_model already does this. [main-thread]
void print_warnings(const std::vector<std::string>& warnings);

// Adds the option --window, for open_model. [main-thread]
CLI::Option* add_window_option(CLI::App& command, int& window);

// Adds the option --weights: a format for ssm::weight_format_from_name. [main-thread]
void add_weights_option(CLI::App& command, std::string& weights);

// Adds the option --threads, for ssm::RowThreads. [main-thread]
void add_threads_option(CLI::App& command, int& threads);

// A short name of a model for people: its file's name, or the last folder of a model directory.
std::string short_name(const std::string& file);

// One value per control of the card, in its order and units: the defaults, overridden by `settings` ("drive=7"). Throws
// Failure. [main-thread]
std::vector<float> control_values(const ssm::Model& model, const std::vector<std::string>& settings);

}  // namespace coil::cli
