// Finds presets and sets knobs.
#include "cli/models.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

#include "cli/failure.h"
#include "cli/text.h"
#include "base/error.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char *kExtension = ".safetensors", *kCabinetExtension = ".wav";

fs::path program_folder() {
  std::error_code error;
#ifdef __APPLE__
  char path[4096];
  uint32_t size = sizeof path;
  if (_NSGetExecutablePath(path, &size) != 0) return {};
  return fs::canonical(path, error).parent_path();
#else
  return fs::read_symlink("/proc/self/exe", error).parent_path();
#endif
}

std::vector<fs::path> preset_folders() {
  std::vector<fs::path> folders;
  if (const char* variable = std::getenv("COIL_PRESETS")) {
    std::istringstream list(variable);
    for (std::string folder; std::getline(list, folder, ':');) {
      if (!folder.empty()) folders.push_back(folder);
    }
  }
  if (const fs::path program = program_folder(); !program.empty()) {
    folders.push_back(program.parent_path() / "share" / "coil" / "presets");
  }
  folders.push_back(COIL_SOURCE_PRESETS);
  return folders;
}

std::string preset_names() {
  std::set<std::string> names;
  for (const fs::path& folder : preset_folders()) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      if (entry.path().extension() == kExtension) names.insert(entry.path().stem().string());
    }
  }
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

// The file or model directory of this name in a folder of presets; empty: none.
fs::path find_preset(const std::string& name) {
  std::error_code error;
  for (const fs::path& folder : preset_folders()) {
    if (fs::is_regular_file(folder / (name + kExtension), error)) return folder / (name + kExtension);
    if (fs::is_regular_file(folder / name, error) || fs::is_regular_file(folder / name / "config.json", error))
      return folder / name;
  }
  return {};
}

// A name without a slash means the preset of this name, if there is one, even if the current folder has a file of this
// name. Throws Failure.
fs::path find_model(const std::string& name) {
  std::error_code error;
  const bool is_file_name = fs::path(name).extension() == kExtension && fs::is_regular_file(name, error);
  if (!name.empty() && !is_file_name && name.find('/') == std::string::npos) {
    if (const fs::path preset = find_preset(name); !preset.empty()) {
      const bool is_model_here =
          fs::is_regular_file(name, error) || fs::is_regular_file(fs::path(name) / "config.json", error);
      if (is_model_here)
        std::fprintf(stderr, "coil: %s means the preset; the file here is ./%s\n", name.c_str(), name.c_str());
      return preset;
    }
  }
  if (fs::exists(name, error)) return name;
  const std::string presets = preset_names();
  throw Failure(kModelFailed, "model '" + name + "': no such file or preset; " +
                                  (presets.empty() ? "no presets are installed" : "the presets are: " + presets));
}

// Sounds of the folders' cabinets, by name.
std::map<std::string, fs::path> cabinets() {
  std::map<std::string, fs::path> found;
  for (const fs::path& folder : preset_folders()) {
    std::error_code error;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder / "cabinets", error))
      if (entry.path().extension() == kCabinetExtension) found.emplace(entry.path().stem().string(), entry.path());
  }
  return found;
}

std::string ranges(const ssm::Card& card) {
  std::string list;
  for (const ssm::Control& control : card.controls) {
    list += (list.empty() ? "" : ", ") + control.name + " (" + number(control.min) + " to " + number(control.max) +
            (control.unit.empty() ? "" : " " + control.unit) + ")";
  }
  return list;
}

}  // namespace

bool names_a_model(const std::string& name) {
  std::error_code error;
  return fs::exists(name, error) || !find_preset(name).empty();
}

fs::path installed_cabinet(const std::string& name) {
  const std::map<std::string, fs::path> known = cabinets();
  const auto found = known.find(name);
  return found == known.end() ? fs::path() : found->second;
}

fs::path find_cabinet(const std::string& name) {
  std::error_code error;
  if (name.find('/') != std::string::npos || fs::exists(name, error)) return name;
  if (const fs::path installed = installed_cabinet(name); !installed.empty()) return installed;
  const std::map<std::string, fs::path> known = cabinets();
  if (fs::path(name).has_extension() || known.empty()) return name;
  std::string names;
  for (const auto& [each, path] : known) names += (names.empty() ? "" : ", ") + each;
  throw Failure(kModelFailed, "cabinet '" + name + "': no such file or cabinet; the cabinets are: " + names);
}

ssm::Checkpoint open_model(const std::string& name, int window) {
  const fs::path path = find_model(name);
  try {
    const ssm::Checkpoint checkpoint = ssm::Checkpoint::open(path);
    return window > 0 ? checkpoint.with_window(window) : checkpoint;
  } catch (const Error& error) {
    throw Failure(kModelFailed, error.what());
  }
}

std::shared_ptr<const ssm::Model> load_model(const ssm::Checkpoint& checkpoint, ssm::Target target, bool quiet) {
  try {
    auto model = ssm::Model::load(checkpoint, target);
    if (!quiet) print_warnings(model->warnings());
    return model;
  } catch (const Error& error) {
    throw Failure(kModelFailed, error.what());
  }
}

void print_warnings(const std::vector<std::string>& warnings) {
  static std::set<std::string> printed;  // a command may load a model several times
  for (const std::string& warning : warnings)
    if (printed.insert(warning).second) std::fprintf(stderr, "coil: warning: %s\n", warning.c_str());
}

std::shared_ptr<const ssm::Model> load_model(const std::string& name, ssm::Target target) {
  return load_model(open_model(name), target);
}

CLI::Option* add_window_option(CLI::App& command, int& window) {
  return command.add_option("--window", window, "How many frames attention may look back (default: as in the config)")
      ->check(CLI::Range(1, ssm::kMaxWindow))
      ->type_name("N");
}

void add_weights_option(CLI::App& command, std::string& weights) {
  command
      .add_option("--weights", weights,
                  "Format of the projections' weights. bf16 and int8 need less memory and are less accurate (coil "
                  "verify shows the error)")
      ->check(CLI::IsMember({"f32", "bf16", "int8"}))
      ->capture_default_str();
}

void add_threads_option(CLI::App& command, int& threads) {
  command
      .add_option("--threads", threads,
                  "Threads that share the large products of a language model; the results are the same to the bit")
      ->type_name("N")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
}

std::string short_name(const std::string& file) {
  fs::path path = fs::path(file).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.stem().string();
}

std::vector<float> control_values(const ssm::Model& model, const std::vector<std::string>& settings) {
  const ssm::Card& card = model.card();
  std::vector<float> values;
  for (const ssm::Control& control : card.controls) values.push_back(static_cast<float>(control.default_value));

  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Failure(kUsage, "--set " + setting + ": expected NAME=VALUE, for example --set drive=0.7");
    }
    const std::string name = setting.substr(0, equals);
    const std::string text = setting.substr(equals + 1);
    const auto control =
        std::find_if(card.controls.begin(), card.controls.end(), [&](const ssm::Control& c) { return c.name == name; });
    if (control == card.controls.end()) {
      throw Failure(kUsage,
                    "--set " + setting + ": " +
                        (card.controls.empty() ? "the model has no controls"
                                               : "no control '" + name + "'; the controls are: " + ranges(card)));
    }
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= control->min && value <= control->max)) {
      throw Failure(kUsage, "--set " + setting + ": '" + text + "' is not a number from " + number(control->min) +
                                " to " + number(control->max) + (control->unit.empty() ? "" : " " + control->unit) +
                                "; the controls are: " + ranges(card));
    }
    values[control - card.controls.begin()] = static_cast<float>(value);
  }
  return values;
}

}  // namespace coil::cli
