// Projections on the tensor cores, with the norm in front of them if there is one.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <optional>

#include "gpu/memory.h"
#include "gpu/precision.h"
#include "gpu/scan.h"
#include "ssm/checkpoint.h"
#include "ssm/config.h"

namespace coil::gpu {

// A matrix (d_out, d_in) and its bias, as the kernel that runs it wants them (gpu/linear_kernels.cuh).
struct Linear {
  int d_in = 0, d_out = 0;
  Precision precision = Precision::float32;
  Array<uint32_t> weight;
  float weight_scale = 1;
  DeviceFloats bias;  // empty: none
  std::optional<float> norm_eps;

  Linear() = default;
  // `norm`: of the whole input, or null.
  Linear(const ssm::LinearConfig& config, const ssm::RmsNormConfig* norm, Precision precision, const ssm::Checkpoint& checkpoint);
};

// out = W norm(in) + b [+ out if accumulate]
void run_linear(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, size_t rows, bool accumulate, cudaStream_t stream);

// The same into `out`, without accumulating, and then the convolution of the outputs from conv.x on. `out` may be left without those. A signal's
// rows of the table of states before and after the segment are different ones.
void run_linear_and_conv(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, const Conv& conv, const DevicePlan& plan,
                         cudaStream_t stream);

}  // namespace coil::gpu
