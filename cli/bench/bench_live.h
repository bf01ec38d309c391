// `coil bench live`: whether a model keeps up with a host's audio thread, block by block.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace coil::cli {

// Adds the subcommand to `bench`; `command_line` is shown in its report. When it is chosen, its callback does the work and sets
// `exit_code`, or throws. [main-thread]
CLI::App* setup_bench_live(CLI::App& bench, const std::string& command_line, int& exit_code);

}  // namespace coil::cli
