// `coil verify`: runs a model file on the input it carries and measures how far every execution is from the output that is right.
#pragma once

namespace CLI {
class App;
}

namespace coil::cli {

// Registers the subcommand. When it runs, exit_code becomes 0 (all within tolerance), 1 (beyond it, or a file that cannot be run) or
// 2 (asked for something that this build or machine does not have). [main-thread]
CLI::App* setup_verify(CLI::App& app, int& exit_code);

}  // namespace coil::cli
