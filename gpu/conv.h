// The causal convolution over chunks of time.
#pragma once

#include <cuda_runtime.h>

#include "gpu/join.cuh"

namespace coil::gpu {

// y_c = silu(sum_j w_{c,j} x_{c, t - (taps - 1) + j} + b_c); without taps y = silu(x). The state is upstream's:
// (channels, taps), newest last.
struct ConvArguments {
  const float *weight, *bias;  // (taps, channels), newest frame last; bias null: 0
  int channels, taps;
  const float* x;  // [row][x_stride]
  int x_stride;
  float* y;  // [row][y_stride]
  int y_stride;
  float* table;  // the states of all signals, offset to this convolution's
  size_t table_stride;
};
void run_conv(const ConvArguments& conv, const DevicePlan& plan, cudaStream_t stream);

}  // namespace coil::gpu
