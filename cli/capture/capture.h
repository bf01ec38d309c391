// `coil capture`: learns a device from recordings of what went in and what came out.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace coil::cli {

// Adds the subcommand; when it is chosen, its callback does the work and sets `exit_code`, or throws. `command_line`:
// for the model's card. [main-thread]
CLI::App* setup_capture(CLI::App& app, const std::string& command_line, int& exit_code);

}  // namespace coil::cli
