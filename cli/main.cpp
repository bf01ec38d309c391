// The program `coil`: registers the subcommands, and turns errors into one line and an exit code.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/interrupt.h"

namespace {

int fail(int exit_code, const std::string& message) {
  std::fprintf(stderr, "coil: error: %s\n", message.c_str());
  return exit_code;
}

std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  std::string chosen;
  for (const CLI::App* command = &app; !command->get_subcommands().empty();) {
    command = command->get_subcommands().front();
    chosen += " " + command->get_name();
  }
  if (!chosen.empty()) return error.what() + (" (see coil" + chosen + " --help)");
  const std::vector<std::string> extras = app.remaining();
  if (extras.empty() || extras.front().starts_with('-')) return error.what() + std::string(" (see coil --help)");
  std::string names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  return "unknown command '" + extras.front() + "'; the commands are: " + names;
}

// As typed, without the program's folder.
std::string command_line(int argc, char** argv) {
  std::string text = "coil";
  for (int i = 1; i < argc; ++i) text += std::string(" ") + argv[i];
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace coil::cli;
  CLI::App app("Coil runs state-space models on audio and sensor data in real time.", "coil");
  app.set_version_flag("--version", "coil " COIL_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes:\n"
      "  0    done\n"
      "  1    a file could not be processed, or a verification failed\n"
      "  2    wrong options or arguments; nothing was done\n"
      "  3    the model cannot be found or loaded\n"
      "  4    --device cuda, and no GPU can be used\n"
      "  5    --fail-on: an anomaly was found\n"
      "  130  interrupted; no partial file is left behind");

  int exit_code = kOk;
  setup_process(app, exit_code);
  setup_capture(app, command_line(argc, argv), exit_code);
  setup_preset(app, exit_code);
  setup_info(app, exit_code);
  setup_generate(app, exit_code);
  setup_stream(app, exit_code);
  setup_plot(app, exit_code);
  setup_verify(app, exit_code);
  setup_bench(app, command_line(argc, argv), exit_code);

  catch_interrupts();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return fail(kUsage, usage_message(app, error));
  } catch (const Failure& failure) {
    return fail(failure.exit_code(), failure.what());
  } catch (const std::exception& error) {
    return fail(kFailed, error.what());
  }
  return exit_code;
}
