// The options, and the choice of an executor.
#include "cli/execution.h"

#include <sched.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

#include "cli/failure.h"
#include "cli/text.h"
#include "gpu/executor.h"
#include "base/error.h"

namespace coil::cli {
namespace {

constexpr int kBlockFrames = 4096;
constexpr int kFramesInFlight = 1 << 20;  // over all files, if long blocks are efficient: a GPU's batch
constexpr int kMinLongBlockFrames = 1 << 14;
constexpr int kMinScanThreads = 3;      // the scan needs about twice the arithmetic of a stream
constexpr double kMinScanMacs = 10000;  // per frame; with less work, threads mostly wait for each other

// The cores that this process may use: a cluster job often has only some of the machine's.
int usable_cores() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int long_block_frames(size_t jobs) { return std::max(kMinLongBlockFrames, kFramesInFlight / static_cast<int>(jobs)); }

size_t jobs_for(const ExecutionOptions& options, size_t files) {
  const int wanted = options.jobs > 0 ? options.jobs : std::max(1, usable_cores() / std::max(options.threads, 1));
  return std::clamp<size_t>(static_cast<size_t>(wanted), 1, std::max<size_t>(files, 1));
}

}  // namespace

void add_precision_option(CLI::App& command, std::string& precision) {
  command
      .add_option("--precision", precision,
                  "Precision of matrix products on a GPU. tf32 and bf16 are faster and less accurate (coil verify "
                  "shows the error)")
      ->check(CLI::IsMember({"float32", "tf32", "bf16"}))
      ->capture_default_str();
}

void add_execution_options(CLI::App& command, ExecutionOptions& options) {
  command
      .add_option("--device", options.device,
                  "cpu; cuda: all GPUs of the machine; auto: cuda if it can be used, else cpu")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  add_precision_option(command, options.precision);
  command.add_option("--jobs", options.jobs, "Files at the same time (default: one per core)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command
      .add_option("--threads", options.threads,
                  "Cores for each file on the CPU; used from 3 on (default: the idle cores, for models of 10,000 "
                  "multiply-adds and more)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command.add_option("--block", options.block_frames, "Frames per call of the model (default: depends on the device)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
}

Execution choose_execution(const ExecutionOptions& options, const std::shared_ptr<const ssm::Model>& model,
                           const ssm::Checkpoint& checkpoint, size_t files,
                           std::function<void(const std::string&)> say) {
  if (options.device == "cpu" && options.precision != "float32")
    throw Failure(kUsage, "--precision belongs to --device cuda; the CPU computes in float32");
  Execution execution;
  execution.jobs = jobs_for(options, files);
  if (options.device != "cpu") {
    try {
      if (model->target().weights() != ssm::WeightFormat::f32)
        throw Error("a GPU computes with float32 weights, not with --weights");
      const auto gpus =
          std::make_shared<gpu::Executor>(model, checkpoint, say, gpu::precision_from_name(options.precision));
      execution.executor = gpus;
      execution.block_frames = long_block_frames(execution.jobs);
      execution.where = [gpus] {
        const int working = gpus->working_gpus();
        return counted(working, "GPU") +
               (working < gpus->gpus() ? " of " + std::to_string(gpus->gpus()) + " and the CPU" : "");
      };
    } catch (const Error& error) {
      if (options.device == "cuda")
        throw Failure(kNoDevice, "--device cuda: " + std::string(error.what()) + "; use --device cpu");
      say(std::string("runs on the CPU: ") + error.what());
    }
  }
  if (!execution.executor) {
    const int idle =
        model->cost().macs_per_step >= kMinScanMacs ? usable_cores() / static_cast<int>(execution.jobs) : 1;
    const int threads = options.threads > 0 ? options.threads : idle;
    const bool scan = threads >= kMinScanThreads;
    if (scan)
      execution.executor = std::make_shared<ssm::ScanExecutor>(threads);
    else
      execution.executor = std::make_shared<ssm::BlockExecutor>();
    execution.block_frames = scan ? long_block_frames(execution.jobs) : kBlockFrames;
    execution.where = [] { return "the CPU"; };
  }
  if (options.block_frames > 0) execution.block_frames = options.block_frames;
  return execution;
}

Execution choose_chain_execution(const ExecutionOptions& options, size_t files) {
  if (options.device == "cuda")
    throw Failure(kUsage, "--device cuda: a chain runs on the CPU; use --device cpu, or --model for a single model");
  if (options.precision != "float32" || options.threads > 1 || options.block_frames > 0)
    throw Failure(kUsage, "--precision, --threads and --block belong to --model; a chain runs on one core a file");
  Execution execution;
  execution.jobs = jobs_for(options, files);
  execution.where = [] { return "the CPU"; };
  return execution;
}

}  // namespace coil::cli
