// A model over (batch, time) on a GPU: the same function as ssm::Stream, parallel over signals, channels and time,
// exact in float32.
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
  int chunk_frames = 0;  // one unit of parallel work, rounded up to a multiple of 16; 0: 128 in float32, else 256.
                         // Longer ones cost accuracy (MEASUREMENTS.md)
  size_t memory_bytes =
      size_t(896) << 20;  // of the GPU, at most so much (or one chunk), whatever the length of the signals
  Precision precision = Precision::float32;
};

// One signal: `state` is where it stands before, and afterwards.
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

// One thread at a time; several objects may run at once. What fails on the GPU is thrown as Error; the states of the
// batch are then as they were, but for their modulation.
class BatchedModel {
 public:
  // `checkpoint` is what `model` was loaded from. Throws Error: no CUDA in this build, no such device, not enough
  // memory. [main-thread]
  BatchedModel(std::shared_ptr<const ssm::Model> model, const ssm::Checkpoint& checkpoint, BatchedOptions options = {});
  ~BatchedModel();
  BatchedModel(BatchedModel&&) noexcept;
  BatchedModel& operator=(BatchedModel&&) noexcept;

  const ssm::Model& model() const;

  // As ssm::Stream::process for every signal, of whatever lengths; copies to and from the GPU overlap with the work on
  // it. Values that are not finite read as 0. The result does not depend on the batch or on the memory, and on
  // chunk_frames only by rounding. A state that leaves the finite numbers stays as it is: gpu::Executor starts anew
  // where a stream would. [any thread]
  void process(std::span<const Frames> batch);
  void process_tokens(std::span<const Tokens> batch);

  // Signals that lie on the GPU already, (states, frames, d_input) and (states, frames, d_output); for models without a
  // slow path, which reads its input on the host. Returns when the output is there.
  void process_on_device(const float* in, float* out, size_t frames, std::span<ssm::State* const> states);

  // What the object holds of the GPU's memory now. [any thread]
  size_t device_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coil::gpu
