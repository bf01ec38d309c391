// SSD (Mamba-2) over chunks of time as matrix products on the tensor cores, for heads with a multiple of 8 channels.
#pragma once

#include <cuda_runtime.h>

#include "gpu/precision.h"
#include "gpu/scan.h"

namespace coil::gpu {

// h = e^(dt A) h + dt B u; y = (C h + D u) [silu(z)]. Heads of `headdim` channels share dt, A and D; groups of
// `group_channels` channels share B and C.
struct SsdArguments {
  int channels, d_state, headdim, group_channels;
  const float* a;   // log2(e) A, per head
  const float* dt;  // [row][dt_stride], per head
  int dt_stride;
  const float* dt_bias;  // per head: the step is clamp(softplus(dt + bias), dt_min, dt_max); null: the step is dt
  float dt_min, dt_max;
  const float* u;  // [row][u_stride]
  int u_stride;
  const float *B, *C;  // [row][bc_stride]: groups of d_state
  int bc_stride;
  const float* D;  // per head; null: none
  const float* z;  // [row][z_stride]; null: no gate
  int z_stride;
  float* y;  // [row][y_stride]; pairs of channels are 8-byte aligned
  int y_stride;
  float* table;
  size_t table_stride;
};

// True for heads of a multiple of 8 channels, groups of a multiple of 16, and at most 128 states.
bool serves_ssd(int headdim, int group_channels, int d_state);

// The scratch is that of a scan with channels * d_state states and one sum per head.
void run_ssd(const SsdArguments& ssd, Precision precision, const ScanScratch& scratch, const DevicePlan& plan,
             cudaStream_t stream);

}  // namespace coil::gpu
