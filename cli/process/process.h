// `coil process`: runs a model over audio files and streams.
#pragma once

namespace CLI {
class App;
}

namespace coil::cli {

// Adds the subcommand; when it is chosen, its callback does the work and sets `exit_code`, or throws. [main-thread]
CLI::App* setup_process(CLI::App& app, int& exit_code);

}  // namespace coil::cli
