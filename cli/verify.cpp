// `coil verify`: compares model files with the output of another implementation.
#include "cli/commands.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/execution.h"
#include "cli/failure.h"
#include "cli/models.h"
#include "gpu/device.h"
#include "gpu/golden_backend.h"
#include "base/error.h"
#include "ssm/verify/golden.h"
#include "ssm/machine/target.h"

namespace coil::cli {
namespace {

constexpr int kWithinTolerance = 0, kBeyondTolerance = 1;

struct VerifyOptions {
  std::vector<std::string> files;
  std::string io;
  std::string device = "cpu";
  std::vector<std::string> modes;
  std::vector<std::string> targets;
  std::string weights = "f32";
  std::string precision = "float32";
  int window = 0;
  double tolerance = 1e-5;
  bool json = false;
  bool list_targets = false;
};

// The result for one file: its runs, or why there are none.
struct FileReport {
  std::string file;
  std::string error;
  bool has_states = false;
  std::vector<ssm::GoldenResult> results;
};

bool within(const ssm::GoldenResult& result, double tolerance) { return result.errors.worst() <= tolerance; }

// Runs a golden file: on the CPU in all executions, or on the GPU.
using Runner = std::function<std::vector<ssm::GoldenResult>(const ssm::Golden& golden)>;

FileReport verify_file(const std::string& file, const std::string& io, int window, const Runner& run) {
  FileReport report;
  report.file = file;
  try {
    const ssm::Golden golden = io.empty() ? ssm::Golden::open(file, window) : ssm::Golden::open(file, io, window);
    print_warnings(golden.warnings());
    report.has_states = golden.has_states();
    report.results = run(golden);
  } catch (const std::exception& problem) {
    report.error = problem.what();
  }
  return report;
}

void print_file(const FileReport& report, double tolerance, int name_width) {
  if (!report.error.empty()) {
    std::printf("%-*s  cannot be run: %s\n", name_width, short_name(report.file).c_str(), report.error.c_str());
    return;
  }
  for (const ssm::GoldenResult& result : report.results) {
    char state[16] = "-";
    if (report.has_states) std::snprintf(state, sizeof state, "%.1e", result.errors.state);
    std::printf("%-*s  %-9s  %-11s  %-8.1e  %-8s  %s\n", name_width, short_name(report.file).c_str(),
                ssm::to_string(result.execution), result.target.c_str(),
                std::max(result.errors.output, result.errors.output_step), state,
                within(result, tolerance) ? "ok" : "FAILED");
  }
}

// JSON has no infinity, so a non-finite error becomes null.
nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

nlohmann::ordered_json to_json(const FileReport& report, double tolerance) {
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const ssm::GoldenResult& result : report.results) {
    nlohmann::ordered_json run = {{"mode", ssm::to_string(result.execution)},
                                  {"target", result.target},
                                  {"output_error", number(std::max(result.errors.output, result.errors.output_step))}};
    if (report.has_states) {
      run["state_error"] = number(result.errors.state);
      run["worst_state"] = result.errors.worst_state;
    }
    run["ok"] = within(result, tolerance);
    runs.push_back(std::move(run));
  }
  nlohmann::ordered_json file = {{"file", report.file}, {"runs", std::move(runs)}};
  if (!report.error.empty()) file["error"] = report.error;
  return file;
}

// Throws Failure if the machine or the options do not allow it.
void check_device(const VerifyOptions& options) {
  const bool on_gpu = options.device == "cuda";
  if (on_gpu && gpu::devices().empty())
    throw Failure(kNoDevice, "--device cuda: " + gpu::why_no_device() + "; use --device cpu");
  if (on_gpu && (!options.modes.empty() || !options.targets.empty() || options.weights != "f32"))
    throw Failure(kUsage,
                  "--mode, --target and --weights belong to --device cpu; the GPU computes in one way, with float32 "
                  "weights");
  if (!on_gpu && options.precision != "float32")
    throw Failure(kUsage, "--precision belongs to --device cuda; the CPU computes in float32");
}

struct Totals {
  size_t runs = 0, failed_runs = 0, failed_files = 0;
  double worst = 0;

  bool ok() const { return failed_runs == 0 && failed_files == 0; }
};

nlohmann::ordered_json to_json(nlohmann::ordered_json files, const Totals& totals, double tolerance) {
  return {{"files", std::move(files)},
          {"runs", totals.runs},
          {"failed_runs", totals.failed_runs},
          {"files_not_run", totals.failed_files},
          {"worst", number(totals.worst)},
          {"tolerance", number(tolerance)},
          {"ok", totals.ok()}};
}

void print_totals(const VerifyOptions& options, const Totals& totals) {
  std::printf("%zu %s, %zu runs, worst error %.1e of max(1, peak), ", options.files.size(),
              options.files.size() == 1 ? "file" : "files", totals.runs, totals.worst);
  if (std::isfinite(options.tolerance))
    std::printf("tolerance %.1e: ", options.tolerance);
  else if (options.device == "cuda")
    std::printf("products in %s, no tolerance asked for: ", options.precision.c_str());
  else
    std::printf("weights as %s, no tolerance asked for: ", options.weights.c_str());
  if (totals.ok())
    std::printf("all ok\n");
  else
    std::printf("%zu runs FAILED, %zu files could not be run\n", totals.failed_runs, totals.failed_files);
}

int run_verify(const VerifyOptions& options) {
  if (options.list_targets) {
    for (const ssm::Target& target : ssm::Target::all()) std::printf("%s\n", target.name());
    return kWithinTolerance;
  }
  check_device(options);

  std::vector<ssm::GoldenExecution> executions;
  std::vector<ssm::Target> targets;
  try {
    for (const std::string& mode : options.modes) executions.push_back(ssm::golden_execution_from_name(mode));
    for (const std::string& name : options.targets) targets.push_back(ssm::Target::from_name(name));
    if (targets.empty()) targets = ssm::Target::all();
    for (ssm::Target& target : targets) target = target.with(ssm::weight_format_from_name(options.weights));
  } catch (const Error& error) {
    throw Failure(kUsage, error.what());
  }
  if (executions.empty()) executions = ssm::all_golden_executions();
  Runner run = [&](const ssm::Golden& golden) { return golden.run(executions, targets); };
  if (options.device == "cuda") {
    run = [precision = gpu::precision_from_name(options.precision)](const ssm::Golden& golden) {
      return std::vector{gpu::run_golden(golden, precision)};
    };
  }

  int name_width = 4;
  for (const std::string& file : options.files)
    name_width = std::max(name_width, static_cast<int>(short_name(file).size()));
  if (!options.json)
    std::printf("%-*s  %-9s  %-11s  %-8s  %-8s\n", name_width, "file", "mode", "target", "output", "state");

  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  Totals totals;
  for (const std::string& file : options.files) {
    const FileReport report = verify_file(file, options.io, options.window, run);
    totals.runs += report.results.size();
    totals.failed_files += !report.error.empty();
    for (const ssm::GoldenResult& result : report.results) {
      totals.failed_runs += !within(result, options.tolerance);
      totals.worst = std::max(totals.worst, result.errors.worst());
    }
    if (options.json)
      all.push_back(to_json(report, options.tolerance));
    else
      print_file(report, options.tolerance, name_width);
    std::fflush(stdout);
  }

  if (options.json) {
    const nlohmann::ordered_json whole = to_json(std::move(all), totals, options.tolerance);
    std::printf("%s\n", whole.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  } else {
    print_totals(options, totals);
  }
  return totals.ok() ? kWithinTolerance : kBeyondTolerance;
}

}  // namespace

CLI::App* setup_verify(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<VerifyOptions>();
  CLI::App* verify = app.add_subcommand("verify", "Compare a model with the output of its author's implementation");
  verify->footer(
      "FILE holds a model and the tensors `input` and `output`, optionally `output_step` and `state.*` (batch first).\n"
      "Errors are relative to max(1, peak). The reference is computed in double precision, everything else in "
      "float32.");
  auto* files =
      verify->add_option("files", options->files, "Model files with input and output; with --io also model directories")
          ->type_name("FILE");
  verify->add_option("--io", options->io, "Take input, output and states from this .safetensors file")
      ->type_name("FILE");
  verify->add_option("--device", options->device, "Where to run")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  verify->add_option("--mode", options->modes, "reference, step, block or scan; may be repeated (all)")
      ->check(CLI::IsMember({"reference", "step", "block", "scan"}))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verify->add_option("--target", options->targets, "SIMD target, see --list-targets; may be repeated (all)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_window_option(*verify, options->window)->description("How many frames attention may look back (the whole input)");
  add_weights_option(*verify, options->weights);
  add_precision_option(*verify, options->precision);
  auto* tolerance =
      verify
          ->add_option("--tolerance", options->tolerance,
                       "Largest error that passes (default: 1e-5; unlimited with rounded weights or products)")
          ->check(CLI::NonNegativeNumber);
  verify->add_flag("--json", options->json, "Print one JSON object");
  verify->add_flag("--list-targets", options->list_targets, "Print the SIMD targets of this machine, best first");
  verify->callback([options, files, tolerance, &exit_code] {
    if (tolerance->count() == 0 && (options->weights != "f32" || options->precision != "float32"))
      options->tolerance = std::numeric_limits<double>::infinity();
    if (files->empty() && !options->list_targets) throw CLI::RequiredError("FILE");
    exit_code = run_verify(*options);
  });
  return verify;
}

}  // namespace coil::cli
