// Golden files: a model or an operator with its input and the known output. Runs them through every execution and
// compares.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ssm/model/checkpoint.h"
#include "ssm/run/model.h"
#include "ssm/run/ops.h"
#include "ssm/machine/target.h"

namespace coil::ssm {

// reference: double precision, frame by frame. step: the engine, frame by frame. block: the engine in blocks of various
// sizes. scan: the engine over the whole signal, in several chunk sizes with two threads. device: the whole batch at
// once on a GoldenBackend.
enum class GoldenExecution { reference, step, block, scan, device };

const char* to_string(GoldenExecution execution);
// All executions on the CPU, that is all but `device`.
GoldenExecution golden_execution_from_name(const std::string& name);  // throws Error that lists the valid names
std::vector<GoldenExecution> all_golden_executions();

// An error is the largest absolute difference over all batch entries, divided by max(1, largest expected value of that
// tensor). A non-finite value where a finite one is expected counts as an infinite error.
struct GoldenErrors {
  double output = 0;       // against `output`
  double output_step = 0;  // compared with `output_step`; 0 if the file has none
  double state = 0;        // the largest error of all states; 0 if the file has none
  std::string worst_state;

  double worst() const;
};

struct GoldenResult {
  GoldenExecution execution = GoldenExecution::reference;
  std::string target;  // label of the target; "double" for the reference
  GoldenErrors errors;
};

// One entry of a batch: frames or tokens, and space for the output. `state` holds the signal's state before, and
// afterwards the new one.
struct GoldenSignal {
  State* state;
  std::span<const float> frames;
  std::span<const int32_t> tokens;
  std::span<float> out;
};

// An engine other than the CPU's, which runs the entries of a file as one batch.
class GoldenBackend {
 public:
  virtual ~GoldenBackend() = default;
  // The number of variants, such as chunk sizes; everything is run in each of them.
  virtual int variants() const = 0;
  // The entries may have different lengths.
  virtual void run(const std::shared_ptr<const Model>& model, const Checkpoint& checkpoint,
                   std::span<const GoldenSignal> batch, int variant) const = 0;
  virtual void run(std::span<const SelectiveScan> batch, int variant) const = 0;
  virtual void run(std::span<const Ssd> batch, int variant) const = 0;
};

// A file with `input` and `output` (batch first), and optionally `output_step` and `state.*` (after the last frame), of
// either
//   a network       input (batch, frames, channels) or token ids (batch, frames)
//   an operator     model_type op_selective_scan or op_ssd, with upstream's tensors and optionally `initial_state.ssm`
class Golden {
 public:
  // Opens a file that holds model and data, or a model (file or HuggingFace directory) and a second file with the data.
  // `window`: how many frames attention may look back; 0: the whole input. Throws Error if `input` or `output` is
  // missing, shapes do not match, or the model is faulty. [main-thread]
  static Golden open(const std::filesystem::path& path, int window = 0);
  static Golden open(const std::filesystem::path& model, const std::filesystem::path& data, int window = 0);
  ~Golden();
  Golden(Golden&&) noexcept;
  Golden& operator=(Golden&&) noexcept;

  // Throws Error that names what is missing of `output_step` and the state of every layer. Tests call this, so that
  // they cannot pass without comparing anything.
  void require_complete() const;

  const std::vector<std::string>& warnings() const;  // the model's, see Model::warnings
  bool has_states() const;
  int batch() const;
  int frames() const;

  // Runs the reference once, and the others once per target. Batch entries are separate streams. Throws Error for
  // states that the model does not have. [main-thread]
  std::vector<GoldenResult> run(std::span<const GoldenExecution> executions, std::span<const Target> targets) const;
  // The largest errors over the backend's variants. `target` is the label in the result.
  GoldenResult run(const GoldenBackend& backend, const std::string& target) const;

  struct Case;

 private:
  explicit Golden(std::unique_ptr<const Case> made);
  std::unique_ptr<const Case> case_;
};

}  // namespace coil::ssm
