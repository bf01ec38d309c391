// The subcommands. Each function registers one. If it is chosen, its callback does the work and sets `exit_code`, or
// throws; main() turns exceptions into exit codes. `command_line`: as typed, for reports and cards. [main-thread]
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace coil::cli {

CLI::App* setup_bench(CLI::App& app, const std::string& command_line, int& exit_code);
CLI::App* setup_bench_live(CLI::App& bench, const std::string& command_line, int& exit_code);  // below `bench`
CLI::App* setup_bench_stream(CLI::App& bench, int& exit_code);                                 // below `bench`
CLI::App* setup_capture(CLI::App& app, const std::string& command_line, int& exit_code);
CLI::App* setup_generate(CLI::App& app, int& exit_code);
CLI::App* setup_info(CLI::App& app, int& exit_code);
CLI::App* setup_plot(CLI::App& app, int& exit_code);
CLI::App* setup_preset(CLI::App& app, int& exit_code);
CLI::App* setup_process(CLI::App& app, int& exit_code);
CLI::App* setup_stream(CLI::App& app, int& exit_code);
// Besides the common exit codes: 1 also if an execution exceeds the tolerance.
CLI::App* setup_verify(CLI::App& app, int& exit_code);

}  // namespace coil::cli
