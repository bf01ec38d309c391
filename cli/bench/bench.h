// `coil bench`: how fast the engine runs models on this machine, and how much of the machine it uses.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace coil::cli {

// Adds the subcommand; `command_line` is shown in its report. When it is chosen, its callback does the work and sets `exit_code`, or
// throws. [main-thread]
CLI::App* setup_bench(CLI::App& app, const std::string& command_line, int& exit_code);

}  // namespace coil::cli
