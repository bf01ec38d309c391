// A model over (batch, time) on a GPU: computes the same function as ssm::Stream, parallel over signals, channels and
// time, in float32 by default.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "gpu/precision.h"
#include "ssm/model/checkpoint.h"
#include "ssm/run/model.h"

namespace coil::gpu {

struct BatchedOptions {
  int device = 0;        // an index into devices()
  int chunk_frames = 0;  // frames per unit of parallel work, rounded up to a multiple of 16; 0: 128 in float32, else
                         // 256. Longer chunks are less accurate (MEASUREMENTS.md)
  size_t memory_bytes =
      size_t(896) << 20;  // upper limit of GPU memory (or one chunk), independent of the signals' length
  Precision precision = Precision::float32;
};

// One signal. `state` holds the signal's state before, and afterwards the new one.
struct Frames {
  ssm::State* state;
  std::span<const float> in;  // (frames, d_input)
  std::span<float> out;       // (frames, d_output)
};

struct Tokens {
  ssm::State* state;
  std::span<const int32_t> in;  // ids outside the vocabulary read as 0
  std::span<float> out;         // (tokens, vocabulary)
};

// One thread at a time; several objects may run at once. Failures of the GPU are thrown as Error. The states of the
// batch are then unchanged, except for their modulation.
class BatchedModel {
 public:
  // `model` must have been loaded from `checkpoint`. Throws Error: no CUDA in this build, no such device, not enough
  // memory. [main-thread]
  BatchedModel(std::shared_ptr<const ssm::Model> model, const ssm::Checkpoint& checkpoint, BatchedOptions options = {});
  ~BatchedModel();
  BatchedModel(BatchedModel&&) noexcept;
  BatchedModel& operator=(BatchedModel&&) noexcept;

  const ssm::Model& model() const;

  // As ssm::Stream::process for every signal; lengths may differ. Copies to and from the GPU overlap with computation.
  // Non-finite values read as 0. The result does not depend on the batch or the memory limit, and depends on
  // chunk_frames only by rounding. A state that becomes non-finite stays so; gpu::Executor restarts as a stream does.
  // [any thread but the audio thread]
  void process(std::span<const Frames> batch);
  void process_tokens(std::span<const Tokens> batch);

  // For signals that are already on the GPU, (states, frames, d_input) and (states, frames, d_output). Only for models
  // without a slow path, which reads its input on the host. Returns when the output is complete.
  void process_on_device(const float* in, float* out, size_t frames, std::span<ssm::State* const> states);

  // The GPU memory that the object holds now. [any thread but the audio thread]
  size_t device_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::gpu
