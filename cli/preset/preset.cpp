// `coil preset`: writes a rig as a preset that hosts of the plugin load.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/models.h"
#include "cli/preset/plugin_preset.h"
#include "cli/process/rig_file.h"
#include "cli/whole_file.h"
#include "dsp/plugin_rig.h"

namespace coil::cli {
namespace fs = std::filesystem;
namespace {

struct PresetOptions {
  std::string rig, output;
  bool quiet = false;
};

void run_preset(const PresetOptions& options) {
  const fs::path output = options.output;
  const std::string extension = output.extension().string();
  if (extension != ".vstpreset" && extension != ".lv2" && extension != ".coil")
    throw Failure(kUsage, "-o " + options.output +
                              ": must end in .vstpreset, in .lv2 (a folder for ~/.lv2) or in .coil (a rig that holds "
                              "its files)");
  const auto file = RigFile::open(options.rig, ssm::Target::best(), options.quiet);
  dsp::Rig rig = file->with_files();
  if (rig.name.empty()) rig.name = output.stem().string();
  if (extension == ".coil") return write_whole_file(output, dsp::write_rig(rig));
  try {
    const dsp::PluginRig arranged = dsp::arrange_for_plugin(rig);
    if (!options.quiet) print_warnings(arranged.warnings);
  } catch (const Error& error) {
    throw Failure(kModelFailed, options.rig + ": " + error.what());
  }
  const std::string state = dsp::write_rig(rig);
  if (extension == ".vstpreset")
    write_whole_file(output, vst3_preset(state));
  else
    write_lv2_bundle(output, rig.name, state);
}

}  // namespace

CLI::App* setup_preset(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand("preset", "Write a rig as a preset for the plugin's hosts");
  const auto options = std::make_shared<PresetOptions>();
  command->add_option("rig", options->rig, "The rig: a .coil file (docs/rig.md)")->required();
  command->add_option("-o,--output", options->output, "FILE.vstpreset, FOLDER.lv2, or FILE.coil")->required();
  command->add_flag("-q,--quiet", options->quiet, "No warnings");
  command->footer(
      "The preset holds the rig's models and impulse responses, so that it sounds the same elsewhere. A .coil file\n"
      "written here holds them as well.\n"
      "Example: coil preset lead.coil -o lead.vstpreset");
  command->callback([options, &exit_code] {
    run_preset(*options);
    exit_code = kOk;
  });
  return command;
}

}  // namespace coil::cli
