// Chooses what runs the model over files: CPU cores or GPUs, according to --device, --jobs and --threads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ssm/model/checkpoint.h"
#include "ssm/run/executor.h"
#include "ssm/run/model.h"

namespace CLI {
class App;
}

namespace coil::cli {

struct ExecutionOptions {
  std::string device = "cpu";         // or "cuda", or "auto"
  int jobs = 0;                       // files at the same time; 0: as many as the cores allow
  int threads = 0;                    // per file on the CPU; 0: for large models, the cores that files leave idle
  int block_frames = 0;               // per call of the model; 0: chosen by the execution
  std::string precision = "float32";  // of matrix products on GPUs
};

// The options --device, --precision, --jobs, --threads and --block. [main-thread]
void add_execution_options(CLI::App& command, ExecutionOptions& options);

// The option --precision. [main-thread]
void add_precision_option(CLI::App& command, std::string& precision);

struct Execution {
  std::shared_ptr<ssm::Executor> executor;
  size_t jobs = 1;
  int block_frames = 0;
  std::function<std::string()> where;  // "the CPU", "2 GPUs"; for the summary [any thread]
};

// For `files` files through `model`, which must come from `checkpoint`. `say` gets a line if `auto` finds no GPU, and
// one if a GPU fails later; the CPU then does the work. Throws Failure if "cuda" is requested but not available.
// [main-thread]
Execution choose_execution(const ExecutionOptions& options, const std::shared_ptr<const ssm::Model>& model,
                           const ssm::Checkpoint& checkpoint, size_t files,
                           std::function<void(const std::string&)> say);

// For `files` files through a chain, which runs on the CPU. Throws Failure for options that only apply to a single
// model. [main-thread]
Execution choose_chain_execution(const ExecutionOptions& options, size_t files);

}  // namespace coil::cli
