// Projections on the tensor cores, with an optional norm before them.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <optional>

#include "gpu/conv.h"
#include "gpu/memory.h"
#include "gpu/precision.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::gpu {

// A matrix (d_out, d_in) and its bias, in the layout of its kernel (gpu/linear_kernels.cuh).
struct Linear {
  int d_in = 0, d_out = 0;
  Precision precision = Precision::float32;
  Array<uint32_t> weight;
  float weight_scale = 1;
  DeviceFloats bias;  // empty: none
  std::optional<float> norm_eps;

  Linear() = default;
  // `norm`: of the whole input, or null. Outputs before first_output are left out.
  Linear(const ssm::LinearConfig& config, const ssm::RmsNormConfig* norm, Precision precision,
         const ssm::Checkpoint& checkpoint, int first_output = 0);
};

// out = W norm(in) + b [+ out if accumulate]
void run_linear(const Linear& linear, const float* in, int in_stride, float* out, int out_stride, size_t rows,
                bool accumulate, cudaStream_t stream);

// The same into `out`, without accumulation, followed by the convolution of the outputs from conv.x on. Those outputs
// may be missing in `out`. A signal must have different rows in the table of states before and after the segment.
void run_linear_and_conv(const Linear& linear, const float* in, int in_stride, float* out, int out_stride,
                         const ConvArguments& conv, const DevicePlan& plan, cudaStream_t stream);

// out = W norm(y silu(z)) + b [+ out if accumulate]. z are the first outputs of the projection that y came from, as
// many as y has. They are recomputed here, which reads less memory than storing them.
class GatedProjection {
 public:
  // Whether there is a kernel for these widths: d_model up to 64, and d_inner up to 64 for d_model <= 32, else up to
  // 128.
  static bool serves(int d_model, int d_inner, Precision precision);

  // in_proj is the projection that y came from, with the norm before it, or null. gated_norm is the norm before
  // out_proj.
  GatedProjection(const ssm::LinearConfig& in_proj, const ssm::RmsNormConfig* norm, const ssm::LinearConfig& out_proj,
                  const ssm::RmsNormConfig& gated_norm, Precision precision, const ssm::Checkpoint& checkpoint);

  // in: the input of in_proj; out may be the same. Rows of in, y and out are contiguous.
  void run(const float* in, const float* y, float* out, size_t rows, bool accumulate, cudaStream_t stream) const;

 private:
  Linear gate_, out_;
};

}  // namespace coil::gpu
