// Golden files through BatchedModel and the operators.
#include "gpu/golden_backend.h"

#include "gpu/batched_model.h"
#include "gpu/device.h"
#include "gpu/operators.h"
#include "base/error.h"

namespace coil::gpu {
namespace {

class CudaBackend final : public ssm::GoldenBackend {
 public:
  explicit CudaBackend(Precision precision) : precision_(precision) {}

  void run(const std::shared_ptr<const ssm::Model>& model, const ssm::Checkpoint& checkpoint,
           std::span<const ssm::GoldenSignal> batch, int variant) const override {
    // Once with segments of one chunk, once with everything in one segment.
    BatchedModel device(model, checkpoint,
                        {.chunk_frames = kChunks[variant],
                         .memory_bytes = variant == 0 ? size_t(1) : BatchedOptions{}.memory_bytes,
                         .precision = precision_});
    if (model->config().input_kind == ssm::InputKind::frames) {
      std::vector<Frames> signals;
      for (const ssm::GoldenSignal& s : batch) signals.push_back({s.state, s.frames, s.out});
      device.process(signals);
    } else {
      std::vector<Tokens> signals;
      for (const ssm::GoldenSignal& s : batch) signals.push_back({s.state, s.tokens, s.out});
      device.process_tokens(signals);
    }
  }
  void run(std::span<const ssm::SelectiveScan> batch, int variant) const override { gpu::run(batch, kChunks[variant]); }
  void run(std::span<const ssm::Ssd> batch, int variant) const override {
    gpu::run(batch, kChunks[variant], precision_);
  }
  int variants() const override { return std::size(kChunks); }

 private:
  static constexpr int kChunks[] = {16, 128};
  Precision precision_;
};

}  // namespace

ssm::GoldenResult run_golden(const ssm::Golden& golden, Precision precision) {
  const std::vector<Device> found = devices();
  if (found.empty()) throw Error("no GPU can be used: " + why_no_device());
  return golden.run(CudaBackend(precision), found.front().name);
}

}  // namespace coil::gpu
