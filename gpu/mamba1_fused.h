// Mamba-1 of the small audio models in two kernels per layer. Values between norm and output projection do not go
// through device memory.
#pragma once

#include <optional>

#include "gpu/join.cuh"
#include "gpu/memory.h"
#include "gpu/precision.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::gpu {

class FusedMamba1 {
 public:
  // True for d_model 16, 32 or 64, twice as many inner channels, 16 states, a dt rank and a convolution of at most 4,
  // no norm on dt, B and C; and if the current device has enough shared memory.
  static bool serves(const ssm::Mamba1Config& config, Precision precision);

  // `norm`: the norm before the mixer, or null.
  FusedMamba1(const ssm::Mamba1Config& config, const ssm::RmsNormConfig* norm, Precision precision,
              const ssm::Checkpoint& checkpoint);

  size_t scratch_floats(const Extent& extent) const;
  size_t chunks_at_once() const;  // on the current device

  // out = mixer(norm(in)) [+ in]; in == out is allowed, rows are d_model floats. conv_table, scan_table: the states of
  // all signals, offset to this part's convolution and scan. scratch is 16-byte aligned. Chunks are multiples of 16
  // frames.
  void run(const float* in, float* out, bool residual, const float* conv_table, const float* scan_table,
           size_t table_stride, float* scratch, const DevicePlan& plan, cudaStream_t stream) const;

 private:
  ssm::Mamba1Config config_;
  Precision precision_;
  float norm_factor_, eps_;
  DeviceFloats weights_;
};

}  // namespace coil::gpu
