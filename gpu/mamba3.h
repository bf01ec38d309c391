// The recurrence of Mamba-3 over chunks of time as matrix products on the tensor cores.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "gpu/join.cuh"
#include "gpu/precision.h"

namespace coil::gpu {

// Per head and frame t, with a_t = 2^decay_t and v_r = x mimo_x_r:
//   angle_i += dt_t speed_i,   k_r = rotated(B_r + B_bias_r),   q_r = rotated(C_r + C_bias_r)
//   h = a_t (h + beta_t sum_r k_r v_r of the frame before) + gamma_t sum_r k_r v_r
//   y_r = q_r h + D v_r,   or with a gate y = sum_r y_r silu(z mimo_z_r) mimo_o_r
// The pairs (2 i, 2 i + 1) of states rotate by angle_i, or with `halves` the pairs (i, i + d_state / 2).
struct Mamba3Arguments {
  int heads, headdim, d_state, groups, rank, angles;
  bool halves;
  const double *dt, *speed;           // [row][heads], [row][angles]; in turns
  const float *decay, *gamma, *beta;  // [row][heads]
  const float *B, *C;                 // [row][bc_stride]: (rank, groups, d_state)
  int bc_stride;
  const float *B_bias, *C_bias;  // (heads, rank, d_state)
  const float* x;                // [row][x_stride]: (heads, headdim)
  int x_stride;
  const float* mimo_x;  // (heads, rank, headdim); null: 1
  const float* D;       // (heads)
  const float* z;       // as x; null: no gate
  int z_stride;
  const float *mimo_z, *mimo_o;  // as mimo_x; not read with one rank
  float* y;                      // [row][rank][heads headdim], or with a gate [row][heads headdim]
  float* table;
  size_t ssm_at, k_at, v_at, angle_at, rest_at, table_stride;  // where a signal's states are in its row of the table

  __host__ __device__ int channels() const { return heads * headdim; }
};

inline constexpr int kMamba3States = 128, kMamba3Ranks = 16;  // the largest numbers that run_mamba3 supports
// Whether run_mamba3 can apply the gate.
inline bool gates_mamba3(int rank, bool weights) { return rank == 1 ? !weights : rank == 2 || rank == 4 || rank == 8; }

// The scratch of run_mamba3.
struct Mamba3Scratch {
  float *carry, *sums;
  uint64_t *turns, *totals;  // [chunk][head][angle]: in units of 2^-64 of a turn

  static size_t floats(const Extent& extent, const Mamba3Arguments& m);
  Mamba3Scratch(float* memory, const Extent& extent, const Mamba3Arguments& m);
};

// out = sum_r norm(y_r) silu(z mimo_z_r) mimo_o_r, per head; the norm is RMS.
struct Mamba3Gate {
  int heads, headdim, rank;
  const float* y;  // [row][rank][heads headdim]
  const float* z;  // [row][z_stride]
  int z_stride;
  const float* norm;  // (heads headdim); null: no norm
  float eps;
  const float *mimo_z, *mimo_o;  // (heads, rank, headdim); null: 1
  float* out;                    // [row][heads headdim]
};
void run_mamba3_gate(const Mamba3Gate& gate, size_t rows, cudaStream_t stream);

void run_mamba3(const Mamba3Arguments& m, Precision precision, const Mamba3Scratch& scratch, const DevicePlan& plan,
                cudaStream_t stream);

}  // namespace coil::gpu
