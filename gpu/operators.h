// The two scan operators alone on a GPU, with the interface of upstream's kernels, for comparisons and checks without a
// model.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "gpu/precision.h"
#include "ssm/run/ops.h"

namespace coil::gpu {

struct SelectiveScanShape {
  int batch = 1, d_inner = 0, d_state = 0, groups = 1;
  size_t frames = 0;
  bool delta_softplus = false, constant_B = false, constant_C = false;
};

// On the device, in upstream's order: (batch, d_inner, frames); B and C (batch, groups, d_state, frames), or constant
// (d_inner, d_state).
struct SelectiveScanTensors {
  const float *u = nullptr, *delta = nullptr, *A = nullptr, *B = nullptr, *C = nullptr;
  const float *D = nullptr, *delta_bias = nullptr, *z = nullptr;  // null: none
  float* state = nullptr;                                         // (batch, d_inner, d_state); in: before the first
                                                                  // frame, out: after the last
  float* y = nullptr;
};

// delta = softplus?(delta + delta_bias); h = e^(delta A) h + delta u B; y = (C h + D u) silu(z), as ssm::SelectiveScan.
class DeviceSelectiveScan {
 public:
  // Allocates the memory that the shape needs. Throws Error. [main-thread]
  explicit DeviceSelectiveScan(const SelectiveScanShape& shape, int chunk_frames = 128);
  ~DeviceSelectiveScan();

  // Starts the kernels on the stream (a cudaStream_t) and returns. [any thread but the audio thread]
  void run(const SelectiveScanTensors& tensors, void* stream) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The same, and SSD, on host tensors; all entries of a batch have equal sizes. The selective scan has no matrix
// products, so precision does not matter for it. [main-thread]
void run(std::span<const ssm::SelectiveScan> batch, int chunk_frames);
void run(std::span<const ssm::Ssd> batch, int chunk_frames, Precision precision);

}  // namespace coil::gpu
