// The recurrences over chunks of time, for networks of any size: selective scan (Mamba-1), SSD (Mamba-2), S4D. Every
// scan has three steps: run each chunk from zero, join (gpu/join.cuh), run each chunk from its true state.
#pragma once

#include <cuda_runtime.h>

#include "gpu/join.cuh"
#include "gpu/segment.h"

namespace coil::gpu {

// h = e^(dt A) h + dt B u; y = C h + D u. Heads of `headdim` channels share dt and D; groups of `group_channels`
// channels share B and C.
struct ScanArguments {
  int channels, d_state, headdim, group_channels;
  const float* a;           // log2(e) A: (channels, d_state) for Mamba-1, (heads) for Mamba-2
  bool one_decay;           // Mamba-2
  const float *dt, *decay;  // [row][dt_stride], [row][decay_stride]: per head; decay: e^(dt A) - 1, Mamba-2 only
  int dt_stride, decay_stride;
  const float* u;
  int u_stride;
  const float *B, *C;  // [row][bc_stride]: groups of d_state
  int bc_stride;
  const float* D;  // per head; null: none
  float* y;        // [row][y_stride]
  int y_stride;
  float* table;
  size_t table_stride;
};

// decay = e^(dt A) - 1, relative error <= 1e-6
void run_decay(const float* a, const float* dt, int dt_stride, float* decay, int heads, size_t rows,
               cudaStream_t stream);

// The scratch of a scan with this number of states (complex ones count twice) and of sums of dt.
struct ScanScratch {
  float *carry, *sums;

  static size_t floats(const Extent& extent, size_t states, size_t sums);
  ScanScratch(float* memory, const Extent& extent, size_t states);
};

void run_scan(const ScanArguments& scan, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream);

// h' = z h + u; y = Re(c h') + D u, per channel and mode. Source: Gu, Gupta, Goel & Re 2022, eq. 3 and 4, with B folded
// into c.
struct S4dArguments {
  int channels, modes;
  bool complex;
  const float *z, *c, *z_chunk, *D;  // (channels, modes[, 2]); z_chunk: z^chunk_frames
  const float* u;
  int u_stride;
  float* y;
  int y_stride;
  float* table;
  size_t table_stride;
};
void run_s4d(const S4dArguments& bank, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream);

}  // namespace coil::gpu
