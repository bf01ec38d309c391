// `coil bench stream`: how many records of sensor data a second, and how long one takes at half that load.
#pragma once

namespace CLI {
class App;
}

namespace coil::cli {

// Adds the subcommand to `bench`. When it is chosen, its callback does the work and sets `exit_code`, or throws. [main-thread]
CLI::App* setup_bench_stream(CLI::App& bench, int& exit_code);

}  // namespace coil::cli
