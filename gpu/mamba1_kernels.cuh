// The two kernels of a fused Mamba-1 layer, and the layout of their weights.
//
//   expand   norm, in_proj (x), convolution, silu, x_proj, dt, and the scan of each chunk from zero; writes x, dt, B, C
//            to device memory
//   recur    in_proj (z) of the same rows, the scan of each chunk from its true state, gate, out_proj, residual
//
// A group of d_inner threads processes a chunk in tiles of 16 frames. Convolution and scan have one thread per channel,
// with 16 states in registers (in recur, half of its own and half of its neighbour's). Products run on the tensor
// cores. The inputs of a product are transposed in shared memory, [k][frame].
#pragma once

#include <cuda_bf16.h>

#include <array>
#include <bit>
#include <cmath>
#include <type_traits>
#include <vector>

#include "gpu/math.cuh"
#include "gpu/scan.h"
#include "gpu/tensor_cores.cuh"
#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::gpu::mamba1 {

inline constexpr int kStates = 16, kRank = 4, kTaps = 4, kTile = 16, kQuads = kTile / 4;
inline constexpr int kColumn =
    kTile + 4;  // floats between rows of a transposed tile: quads of 8 neighbouring rows are in different banks
inline constexpr int kMixing = 2 * kStates;  // B and C
inline constexpr int kMixingRow = kMixing + 4;
inline constexpr int kMixingTiles = kMixing / 8 + 1;  // outputs of x_proj in tiles of 8: B, C, and the few of dt

// A matrix for the tensor cores: [16 inputs][8 outputs] of a right side (gpu/tensor_cores.cuh). Of eight inputs, input
// 2 t is the product's t-th, input 2 t + 1 its (t + 4)-th, so that a warp's reads of a transposed tile spread over all
// banks. A vector holds the numbers of both steps; in float32 there is one vector for the leading bits and one for the
// remainder. It uses no more bytes than the precision needs, because shared memory limits the kernels.
template <Precision kPrecision, int kSteps, int kTiles>
struct Fragments {
  using Vector = std::conditional_t<kPrecision == Precision::bf16, uint2, float4>;
  static constexpr int kVectors = kPrecision == Precision::float32 ? 2 : 1;
  Vector values[kSteps / 2][kTiles][kVectors][32];

  __device__ Right<kPrecision> right(int pair, int tile, int lane) const {
    const Vector v = values[pair][tile][0][lane];
    Right<kPrecision> right;
    if constexpr (kPrecision == Precision::float32) {
      const Vector second = values[pair][tile][1][lane];
      right.high[0][0] = v.x, right.high[0][1] = v.y, right.low[0][0] = v.z, right.low[0][1] = v.w;
      right.high[1][0] = second.x, right.high[1][1] = second.y, right.low[1][0] = second.z, right.low[1][1] = second.w;
    } else if constexpr (kPrecision == Precision::tf32) {
      right.values[0][0] = v.x, right.values[0][1] = v.y, right.values[1][0] = v.z, right.values[1][1] = v.w;
    } else {
      right.pairs[0][0] = v.x, right.pairs[1][0] = v.y;
    }
    return right;
  }
};

// All weights of a layer in one array. The matrices of each kernel are contiguous, so that one copy loads them.
template <Precision kPrecision, int kModel>
struct Weights {
  static constexpr int kInner = 2 * kModel;
  struct Expand {
    Fragments<kPrecision, kModel / 8, kInner / 8> in_x;
    Fragments<kPrecision, kInner / 8, kMixingTiles> x_proj;
  } expand;
  struct Recur {
    Fragments<kPrecision, kModel / 8, kInner / 8> in_z;
    Fragments<kPrecision, kInner / 8, kModel / 8> out;
  } recur;
  // per channel
  float rank_to_dt[kInner][kRank];
  float conv[kInner][kTaps];
  float a[kInner][kStates];  // log2(e) A
  float in_x_bias[kInner], in_z_bias[kInner], conv_bias[kInner], dt_bias[kInner], D[kInner];
  float x_proj_bias[kMixingTiles * 8], out_bias[kModel];
};

// The largest number of chunks that a block processes at once: 512 threads leave 128 registers for each.
template <int kModel>
inline constexpr int kGroups = 256 / kModel;
template <int kModel>
inline constexpr int kThreads = kGroups<kModel> * 2 * kModel;

struct Arguments {
  const void* weights;
  const float* in;
  float* out;
  float4 *x, *dt;  // [tile][quad][channel]
  float4* mixing;  // [tile][frame][B, C]
  ScanScratch scan;
  const float *conv_table, *scan_table;
  size_t table_stride;
  const Chunk* chunks;
  int chunk_count, chunk_frames, taps;
  float norm_factor, eps;  // the norm's mean square is norm_factor * sum + eps: 1 / kModel and eps; without a norm 0
                           // and 1
  int residual;
};

// The index of input k of kModel in a transposed tile of rows. A warp writes vectors of four neighbouring inputs, which
// this order spreads over the banks.
template <int kModel>
__host__ __device__ constexpr int stored_at(int k) {
  return k % 4 * (kModel / 4) + k / 4;
}

// Calls f(i) for a thread's share of kCount vectors. The number is the same for every thread, without branches, so that
// the accesses overlap.
template <int kCount, int kThreads, class F>
__device__ void each_vector(int thread, const F& f) {
  static_assert(kCount % kThreads == 0);
#pragma unroll
  for (int i = 0; i < kCount / kThreads; ++i) f(thread + i * kThreads);
}

// Starts to copy the first `valid` of 16 rows, `width` floats each; called by all threads of the group.
template <int kWidth, int kInner>
__device__ void fetch_rows(const float* from, int valid, float* to, int thread) {
  each_vector<kTile * kWidth / 4, kInner>(thread, [&](int i) {
    if (i < valid * kWidth / 4) copy_async(from + 4 * i, to + 4 * i);
  });
}

// Prefetches the bytes at the start of a chunk; called by all threads of the group.
template <int kInner>
__device__ void prefetch_bytes(const void* from, int bytes, int thread) {
  for (int at = 128 * thread; at < bytes; at += 128 * kInner) prefetch(static_cast<const char*>(from) + at);
}

// Writes 16 rows of width kModel, normalised, into a transposed tile; rows from `valid` on are 0. Every thread handles
// what it loaded itself.
template <int kModel, int kInner>
__device__ void normalise_rows(const float* rows, int valid, float factor, float eps, float* tile, int thread) {
  constexpr int kVectors = kModel / 4;  // per row; neighbouring threads share a row
  each_vector<kTile * kVectors, kInner>(thread, [&](int i) {
    const int row = i / kVectors, k = i % kVectors * 4;
    float4 v = *reinterpret_cast<const float4*>(rows + row * kModel + k);
    if (row >= valid) v = {0, 0, 0, 0};
    float sum = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, v.w * v.w)));
#pragma unroll
    for (int other = kVectors / 2; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
    const float scale = rsqrtf(fmaf(sum, factor, eps));
    tile[stored_at<kModel>(k) * kColumn + row] = v.x * scale;
    tile[stored_at<kModel>(k + 1) * kColumn + row] = v.y * scale;
    tile[stored_at<kModel>(k + 2) * kColumn + row] = v.z * scale;
    tile[stored_at<kModel>(k + 3) * kColumn + row] = v.w * scale;
  });
}

// sums += in weight for 16 frames and kTiles times 8 outputs, by one warp. in: kSteps (an even number) times 8 columns
// of a transposed tile.
template <Precision kPrecision, int kSteps, int kTiles, int kAllTiles>
__device__ void multiply(const float* in, const Fragments<kPrecision, kSteps, kAllTiles>& weight, int first_tile,
                         int lane, float (&sums)[kTiles][4]) {
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int pair = 0; pair < kSteps / 2; ++pair) {
    float a[2][4];
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const float *even = in + (8 * (2 * pair + step) + 2 * t) * kColumn, *odd = even + kColumn;
      a[step][0] = even[g], a[step][1] = even[g + 8], a[step][2] = odd[g], a[step][3] = odd[g + 8];
    }
    const Left<kPrecision> left(a);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
      multiply_add(sums[tile], left, weight.right(pair, first_tile + tile, lane));
  }
}

// The lane's part of a product's bias.
template <int kTiles>
__device__ void start_sums(const float* bias, int lane, float (&sums)[kTiles][4]) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const float2 b = bias ? *reinterpret_cast<const float2*>(bias + 8 * tile + lane % 4 * 2) : float2{0, 0};
    sums[tile][0] = sums[tile][2] = b.x;
    sums[tile][1] = sums[tile][3] = b.y;
  }
}

// The 32 channels of a warp in the transposed product: tile [channel][frame] = bias + weight in.
template <int kModel, int kInner, Precision kPrecision>
__device__ void project(const float* in, const Fragments<kPrecision, kModel / 8, kInner / 8>& weight, const float* bias,
                        float* tile, int warp, int lane) {
  float sums[4][4];
  start_sums(bias + 32 * warp, lane, sums);
  multiply(in, weight, 4 * warp, lane, sums);
  float* to = tile + (32 * warp + lane % 4 * 2) * kColumn + lane / 4;
#pragma unroll
  for (int i = 0; i < 4; ++i, to += 8 * kColumn) {
    to[0] = sums[i][0];
    to[kColumn] = sums[i][1];
    to[8] = sums[i][2];
    to[kColumn + 8] = sums[i][3];
  }
}

template <class T>
__device__ void copy_to_shared(const T& from, T& to) {
  static_assert(sizeof(T) % sizeof(float4) == 0);
  for (int i = int(threadIdx.x); i < int(sizeof(T) / sizeof(float4)); i += int(blockDim.x))
    reinterpret_cast<float4*>(&to)[i] = reinterpret_cast<const float4*>(&from)[i];
}

// One frame of the scan of one channel from zero. B: of the frame.
__device__ inline void step(float (&h)[kStates], const float (&a)[kStates], float dt, float x, const float* B) {
  const float dtx = dt * x;
#pragma unroll
  for (int n = 0; n < kStates; n += 4) {
    const float4 b = *reinterpret_cast<const float4*>(B + n);
    h[n] = fmaf(exp2_fast(dt * a[n]), h[n], dtx * b.x);
    h[n + 1] = fmaf(exp2_fast(dt * a[n + 1]), h[n + 1], dtx * b.y);
    h[n + 2] = fmaf(exp2_fast(dt * a[n + 2]), h[n + 2], dtx * b.z);
    h[n + 3] = fmaf(exp2_fast(dt * a[n + 3]), h[n + 3], dtx * b.w);
  }
}

// One frame of two channels by the two lanes of a pair. Each lane has half of its own states and half of its
// neighbour's, so that it reads only half of B and C. Returns the output of the lane's own channel. mixing: the frame's
// B from the lane's first state on, and C kStates further.
inline constexpr int kHalf = kStates / 2;
__device__ inline float step_of_pair(float (&h)[2][kHalf], const float (&a)[2][kHalf], float dt, float x,
                                     const float* mixing) {
  const float own = dt * x, dts[2] = {dt, __shfl_xor_sync(0xffffffffu, dt, 1)},
              dtx[2] = {own, __shfl_xor_sync(0xffffffffu, own, 1)};
  float sums[2] = {};
#pragma unroll
  for (int n = 0; n < kHalf; n += 4) {
    const float4 B = *reinterpret_cast<const float4*>(mixing + n),
                 C = *reinterpret_cast<const float4*>(mixing + kStates + n);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      h[i][n] = fmaf(exp2_fast(dts[i] * a[i][n]), h[i][n], dtx[i] * B.x);
      h[i][n + 1] = fmaf(exp2_fast(dts[i] * a[i][n + 1]), h[i][n + 1], dtx[i] * B.y);
      h[i][n + 2] = fmaf(exp2_fast(dts[i] * a[i][n + 2]), h[i][n + 2], dtx[i] * B.z);
      h[i][n + 3] = fmaf(exp2_fast(dts[i] * a[i][n + 3]), h[i][n + 3], dtx[i] * B.w);
      sums[i] = fmaf(C.x, h[i][n], sums[i]);
      sums[i] = fmaf(C.y, h[i][n + 1], sums[i]);
      sums[i] = fmaf(C.z, h[i][n + 2], sums[i]);
      sums[i] = fmaf(C.w, h[i][n + 3], sums[i]);
    }
  }
  return sums[0] + __shfl_xor_sync(0xffffffffu, sums[1], 1);
}

template <Precision kPrecision, int kModel>
struct ExpandShared {
  static constexpr int kInner = 2 * kModel, kWarps = kInner / 32;
  struct Group {
    float fetched[kTile][kModel], rows[kModel][kColumn], x[kInner][kColumn], mixing[kWarps][kTile][kMixingRow],
        rank[kWarps][kTile][kRank];
  };
  typename Weights<kPrecision, kModel>::Expand weights;
  Group groups[1];  // one per group of the block
};

// The stages are those at the top of this file, tile by tile.
template <Precision kPrecision, int kModel>
__global__ void __launch_bounds__(kThreads<kModel>, 1) expand(Arguments p) {
  using Shared = ExpandShared<kPrecision, kModel>;
  constexpr int kInner = Shared::kInner, kWarps = Shared::kWarps;
  const auto& w = *static_cast<const Weights<kPrecision, kModel>*>(p.weights);
  auto& shared = *reinterpret_cast<Shared*>(dynamic_shared());
  copy_to_shared(w.expand, shared.weights);
  __syncthreads();

  const int group = int(threadIdx.x) / kInner, c = int(threadIdx.x) % kInner, warp = c / 32, lane = c % 32;
  auto& g = shared.groups[group];
  float* my_x = g.x[c];
  float a[kStates];
#pragma unroll
  for (int n = 0; n < kStates; ++n) a[n] = w.a[c][n];
  const float4 taps = *reinterpret_cast<const float4*>(w.conv[c]),
               to_dt = *reinterpret_cast<const float4*>(w.rank_to_dt[c]);
  const float conv_bias = w.conv_bias[c], dt_bias = w.dt_bias[c];

  // If fewer chunks than groups are left, every block gets a share of them.
  const int stride = int(blockDim.x) / kInner * int(gridDim.x);
  for (int index = group * int(gridDim.x) + int(blockIdx.x); index < p.chunk_count; index += stride) {
    const Chunk chunk = p.chunks[index];
    const float* rows = p.in + size_t(index) * size_t(p.chunk_frames) * kModel;
    if (index + stride < p.chunk_count) {
      prefetch_bytes<kInner>(p.chunks + index + stride, sizeof(Chunk), c);
      prefetch_bytes<kInner>(rows + (size_t(stride) * size_t(p.chunk_frames) - kTile) * kModel,
                             2 * kTile * kModel * sizeof(float), c);
    }
    fetch_rows<kModel, kInner>(rows, min(chunk.frames, kTile), &g.fetched[0][0], c);
    float before[3] = {0, 0, 0};  // the convolution's inputs for the three frames before the tile
    if (!chunk.first) {
      normalise_rows<kModel, kInner>(rows - kTile * kModel, kTile, p.norm_factor, p.eps, &g.rows[0][0], c);
      sync_group<kInner>(group);
      project<kModel, kInner>(&g.rows[0][0], shared.weights.in_x, w.in_x_bias, &g.x[0][0], warp, lane);
      sync_group<kInner>(group);
      for (int i = 0; i < 3; ++i) before[i] = my_x[kTile - 3 + i];
    } else {
      const float* history = p.conv_table + size_t(chunk.state_in) * p.table_stride + c * p.taps;
      for (int i = 0; i < 3; ++i)
        if (i + p.taps >= 3 && p.taps > 0) before[i] = history[p.taps - 3 + i];
    }
    float h[kStates] = {}, elapsed = 0;

    for (int t0 = 0; t0 < chunk.frames; t0 += kTile) {
      const int valid = min(chunk.frames - t0, kTile);
      const size_t tile = (size_t(index) * size_t(p.chunk_frames) + size_t(t0)) / kTile;
      wait_for_copies();
      normalise_rows<kModel, kInner>(&g.fetched[0][0], valid, p.norm_factor, p.eps, &g.rows[0][0], c);
      if (t0 + kTile < chunk.frames)
        fetch_rows<kModel, kInner>(rows + (t0 + kTile) * kModel, min(chunk.frames - t0 - kTile, kTile),
                                   &g.fetched[0][0], c);
      sync_group<kInner>(group);
      project<kModel, kInner>(&g.rows[0][0], shared.weights.in_x, w.in_x_bias, &g.x[0][0], warp, lane);
      __syncwarp();

      if (chunk.last && t0 + kTile >= chunk.frames) {
        float* history = const_cast<float*>(p.conv_table) + size_t(chunk.state_out) * p.table_stride + c * p.taps;
        for (int j = 0; j < p.taps; ++j) {
          const int t = valid - p.taps + j;
          history[j] = t >= 0 ? my_x[t] : t == -1 ? before[2] : t == -2 ? before[1] : before[0];
        }
      }
#pragma unroll
      for (int q = 0; q < kQuads; ++q) {
        const float4 r = *reinterpret_cast<const float4*>(my_x + 4 * q);
        float4 x;
        x.x = silu(
            fmaf(taps.x, before[0], fmaf(taps.y, before[1], fmaf(taps.z, before[2], fmaf(taps.w, r.x, conv_bias)))));
        x.y = silu(fmaf(taps.x, before[1], fmaf(taps.y, before[2], fmaf(taps.z, r.x, fmaf(taps.w, r.y, conv_bias)))));
        x.z = silu(fmaf(taps.x, before[2], fmaf(taps.y, r.x, fmaf(taps.z, r.y, fmaf(taps.w, r.z, conv_bias)))));
        x.w = silu(fmaf(taps.x, r.x, fmaf(taps.y, r.y, fmaf(taps.z, r.z, fmaf(taps.w, r.w, conv_bias)))));
        before[0] = r.y, before[1] = r.z, before[2] = r.w;
        *reinterpret_cast<float4*>(my_x + 4 * q) = x;
        p.x[(tile * kQuads + size_t(q)) * kInner + size_t(c)] = x;
      }
      __syncwarp();

      // Every warp multiplies its own 32 channels; then the results are summed over the warps.
      {
        const int row = lane / 4, column = lane % 4 * 2;
        float sums[kMixingTiles][4];
        start_sums(warp == 0 ? w.x_proj_bias : nullptr, lane, sums);
        const auto& own =
            *reinterpret_cast<const Fragments<kPrecision, 4, kMixingTiles>*>(shared.weights.x_proj.values[2 * warp]);
        multiply(g.x[32 * warp], own, 0, lane, sums);
#pragma unroll
        for (int i = 0; i < kMixing / 8; ++i) {
          *reinterpret_cast<float2*>(&g.mixing[warp][row][8 * i + column]) = float2{sums[i][0], sums[i][1]};
          *reinterpret_cast<float2*>(&g.mixing[warp][row + 8][8 * i + column]) = float2{sums[i][2], sums[i][3]};
        }
        if (column < kRank) {
          *reinterpret_cast<float2*>(&g.rank[warp][row][column]) =
              float2{sums[kMixingTiles - 1][0], sums[kMixingTiles - 1][1]};
          *reinterpret_cast<float2*>(&g.rank[warp][row + 8][column]) =
              float2{sums[kMixingTiles - 1][2], sums[kMixingTiles - 1][3]};
        }
      }
      sync_group<kInner>(group);
      each_vector<kTile * kMixing / 4, kInner>(c, [&](int i) {
        const int t = i / (kMixing / 4), n = i % (kMixing / 4) * 4;
        float4 sum = *reinterpret_cast<const float4*>(&g.mixing[0][t][n]);
#pragma unroll
        for (int other = 1; other < kWarps; ++other)
          sum = add(sum, *reinterpret_cast<const float4*>(&g.mixing[other][t][n]));
        if constexpr (kWarps > 1) *reinterpret_cast<float4*>(&g.mixing[0][t][n]) = sum;
        p.mixing[tile * (kTile * kMixing / 4) + size_t(i)] = sum;
      });
      if constexpr (kWarps > 1) {
        if (c < kTile) {
          float4 sum = *reinterpret_cast<const float4*>(g.rank[0][c]);
#pragma unroll
          for (int other = 1; other < kWarps; ++other)
            sum = add(sum, *reinterpret_cast<const float4*>(g.rank[other][c]));
          *reinterpret_cast<float4*>(g.rank[0][c]) = sum;
        }
        sync_group<kInner>(group);
      }

#pragma unroll 1
      for (int q = 0; q < kQuads; ++q) {
        const float4 x = *reinterpret_cast<const float4*>(my_x + 4 * q);
        float dt[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float4 rank = *reinterpret_cast<const float4*>(g.rank[0][4 * q + i]);
          const float raw =
              fmaf(to_dt.x, rank.x, fmaf(to_dt.y, rank.y, fmaf(to_dt.z, rank.z, fmaf(to_dt.w, rank.w, dt_bias))));
          dt[i] = softplus(4 * q + i < valid ? raw : -HUGE_VALF);  // 0 after the end, without a branch, so that the
                                                                   // four computations overlap
        }
        p.dt[(tile * kQuads + size_t(q)) * kInner + size_t(c)] = float4{dt[0], dt[1], dt[2], dt[3]};
        if (chunk.last) continue;
        elapsed += (dt[0] + dt[1]) + (dt[2] + dt[3]);
        step(h, a, dt[0], x.x, g.mixing[0][4 * q]);
        step(h, a, dt[1], x.y, g.mixing[0][4 * q + 1]);
        step(h, a, dt[2], x.z, g.mixing[0][4 * q + 2]);
        step(h, a, dt[3], x.w, g.mixing[0][4 * q + 3]);
      }
    }
    if (chunk.last) continue;
    float4* carry = reinterpret_cast<float4*>(p.scan.carry + (size_t(index) * kInner + size_t(c)) * kStates);
#pragma unroll
    for (int n = 0; n < kStates; n += 4) carry[n / 4] = float4{h[n], h[n + 1], h[n + 2], h[n + 3]};
    p.scan.sums[size_t(index) * kInner + size_t(c)] = elapsed;
  }
}

template <Precision kPrecision, int kModel>
struct RecurShared {
  static constexpr int kInner = 2 * kModel;
  struct Group {
    float fetched[kTile][kModel], mixing[2][kTile][kMixing], rows[kModel][kColumn], y[kInner][kColumn];
  };
  typename Weights<kPrecision, kModel>::Recur weights;
  Group groups[1];  // one per group of the block
};

// The stages are those at the top of this file, tile by tile.
template <Precision kPrecision, int kModel>
__global__ void __launch_bounds__(kThreads<kModel>, 1) recur(Arguments p) {
  using Shared = RecurShared<kPrecision, kModel>;
  constexpr int kInner = Shared::kInner;
  const auto& w = *static_cast<const Weights<kPrecision, kModel>*>(p.weights);
  auto& shared = *reinterpret_cast<Shared*>(dynamic_shared());
  copy_to_shared(w.recur, shared.weights);
  __syncthreads();

  const int group = int(threadIdx.x) / kInner, c = int(threadIdx.x) % kInner, warp = c / 32, lane = c % 32;
  auto& g = shared.groups[group];
  float* my_y = g.y[c];
  const int first_state = lane % 2 * kHalf, channels[2] = {c, c ^ 1};  // the half of the states that the lane holds
  float a[2][kHalf];
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int n = 0; n < kHalf; ++n) a[i][n] = w.a[channels[i]][first_state + n];
  const float D = w.D[c];

  // If fewer chunks than groups are left, every block gets a share of them.
  const int stride = int(blockDim.x) / kInner * int(gridDim.x);
  for (int index = group * int(gridDim.x) + int(blockIdx.x); index < p.chunk_count; index += stride) {
    const Chunk chunk = p.chunks[index];
    const size_t first_row = size_t(index) * size_t(p.chunk_frames);
    if (index + stride < p.chunk_count) {
      const size_t row = first_row + size_t(stride) * size_t(p.chunk_frames);
      prefetch_bytes<kInner>(p.chunks + index + stride, sizeof(Chunk), c);
      prefetch_bytes<kInner>(p.in + row * kModel, kTile * kModel * sizeof(float), c);
      prefetch_bytes<kInner>(p.mixing + row * kMixing / 4, kTile * kMixing * sizeof(float), c);
      prefetch_bytes<kInner>(p.scan.carry + size_t(index + stride) * kInner * kStates, kInner * kStates * sizeof(float),
                             c);
      prefetch_bytes<kInner>(p.x + row / 4 * kInner, kInner * sizeof(float4), c);
      prefetch_bytes<kInner>(p.dt + row / 4 * kInner, kInner * sizeof(float4), c);
    }
    const auto fetch = [&](int t0) {
      const size_t row = first_row + size_t(t0);
      const int valid = min(chunk.frames - t0, kTile);
      fetch_rows<kModel, kInner>(p.in + row * kModel, valid, &g.fetched[0][0], c);
      fetch_rows<kMixing, kInner>(reinterpret_cast<const float*>(p.mixing) + row * kMixing, kTile,
                                  &g.mixing[t0 / kTile % 2][0][0], c);
    };
    sync_group<kInner>(group);  // wait until the last chunk's tiles have been read
    fetch(0);
    float h[2][kHalf];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float* start = p.scan.carry + (size_t(index) * kInner + size_t(channels[i])) * kStates + first_state;
#pragma unroll
      for (int n = 0; n < kHalf; n += 4) {
        const float4 v = *reinterpret_cast<const float4*>(start + n);
        h[i][n] = v.x, h[i][n + 1] = v.y, h[i][n + 2] = v.z, h[i][n + 3] = v.w;
      }
    }

    // x and dt are loaded from the cache one quad ahead, and prefetched into it one tile ahead.
    const float4 *x_at = p.x + first_row / 4 * kInner + size_t(c), *dt_at = p.dt + first_row / 4 * kInner + size_t(c);
    float4 next_x = *x_at, next_dt = *dt_at;

    for (int t0 = 0; t0 < chunk.frames; t0 += kTile) {
      const int valid = min(chunk.frames - t0, kTile);
      const bool more = t0 + kTile < chunk.frames;
      const size_t row = first_row + size_t(t0);
      const int now = t0 / kTile % 2;
      wait_for_copies();
      normalise_rows<kModel, kInner>(&g.fetched[0][0], valid, p.norm_factor, p.eps, &g.rows[0][0], c);
      sync_group<kInner>(group);
      if (more) fetch(t0 + kTile);
      project<kModel, kInner>(&g.rows[0][0], shared.weights.in_z, w.in_z_bias, &g.y[0][0], warp, lane);
      __syncwarp();
#pragma unroll 1
      for (int q = 0; q < kQuads; ++q) {
        const float4 x = next_x, dt = next_dt;
        if (more || q + 1 < kQuads) x_at += kInner, dt_at += kInner;
        next_x = *x_at, next_dt = *dt_at;
        if (more) prefetch(x_at + (kQuads - 1) * kInner), prefetch(dt_at + (kQuads - 1) * kInner);
        const float4 z = *reinterpret_cast<const float4*>(my_y + 4 * q);
        float4 y;
        y.x = fmaf(D, x.x, step_of_pair(h, a, dt.x, x.x, g.mixing[now][4 * q] + first_state)) * silu(z.x);
        y.y = fmaf(D, x.y, step_of_pair(h, a, dt.y, x.y, g.mixing[now][4 * q + 1] + first_state)) * silu(z.y);
        y.z = fmaf(D, x.z, step_of_pair(h, a, dt.z, x.z, g.mixing[now][4 * q + 2] + first_state)) * silu(z.z);
        y.w = fmaf(D, x.w, step_of_pair(h, a, dt.w, x.w, g.mixing[now][4 * q + 3] + first_state)) * silu(z.w);
        *reinterpret_cast<float4*>(my_y + 4 * q) = y;
      }
      const auto place = [&](int i, int half) {
        return (row + size_t(lane / 4 + 8 * half)) * kModel + size_t(16 * warp + 8 * i + lane % 4 * 2);
      };
      float2 before[2][2] = {};
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (p.residual && lane / 4 + 8 * (i % 2) < valid)
          before[i / 2][i % 2] = *reinterpret_cast<const float2*>(p.in + place(i / 2, i % 2));
      sync_group<kInner>(group);
      float sums[2][4];  // a warp's 16 outputs
      start_sums(w.out_bias + 16 * warp, lane, sums);
      multiply(&g.y[0][0], shared.weights.out, 2 * warp, lane, sums);
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          if (lane / 4 + 8 * half >= valid) continue;
          const float2 sum{sums[i][2 * half] + before[i][half].x, sums[i][2 * half + 1] + before[i][half].y};
          *reinterpret_cast<float2*>(p.out + place(i, half)) = sum;
        }
    }
    if (!chunk.last) continue;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float* after = const_cast<float*>(p.scan_table) + size_t(chunk.state_out) * p.table_stride +
                     size_t(channels[i]) * kStates + first_state;
#pragma unroll
      for (int n = 0; n < kHalf; ++n) after[n] = h[i][n];
    }
  }
}

inline float rounded_to_tf32(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x) + 0x1000u;  // half of the last remaining bit
  return std::bit_cast<float>(bits & 0xffffe000u);
}

inline uint32_t packed_bf16(float first, float second) {
  const auto rounded = [](float x) { return uint32_t(__bfloat16_as_ushort(__float2bfloat16_rn(x))); };
  return rounded(first) | rounded(second) << 16;
}

// value(input, output)
template <Precision kPrecision, int kSteps, int kTiles, class Value>
void pack(Fragments<kPrecision, kSteps, kTiles>& to, const Value& value) {
  for (int pair = 0; pair < kSteps / 2; ++pair)
    for (int tile = 0; tile < kTiles; ++tile)
      for (int lane = 0; lane < 32; ++lane) {
        float b[4];  // [step][t, t + 4]
        for (int i = 0; i < 4; ++i) b[i] = value(16 * pair + 8 * (i / 2) + lane % 4 * 2 + i % 2, 8 * tile + lane / 4);
        auto& vectors = to.values[pair][tile];
        if constexpr (kPrecision == Precision::bf16) {
          vectors[0][lane] = {packed_bf16(b[0], b[1]), packed_bf16(b[2], b[3])};
        } else {
          const auto high = [&](int i) { return rounded_to_tf32(b[i]); };
          const auto low = [&](int i) { return rounded_to_tf32(b[i] - high(i)); };
          if constexpr (kPrecision == Precision::tf32)
            vectors[0][lane] = {high(0), high(1), high(2), high(3)};
          else
            vectors[0][lane] = {high(0), high(1), low(0), low(1)},
            vectors[1][lane] = {high(2), high(3), low(2), low(3)};
        }
      }
}

template <Precision kPrecision, int kModel>
std::vector<float> packed(const ssm::Mamba1Config& config, const ssm::RmsNormConfig* norm,
                          const ssm::Checkpoint& checkpoint) {
  constexpr int kInner = 2 * kModel;
  std::vector<float4> vectors((sizeof(Weights<kPrecision, kModel>) + sizeof(float4) - 1) / sizeof(float4));
  auto& w = *reinterpret_cast<Weights<kPrecision, kModel>*>(vectors.data());
  const auto tensor = [&](const char* suffix, std::vector<int64_t> shape) {
    return checkpoint.floats(config.name + suffix, shape);
  };
  const int rank = config.dt_rank, taps = config.d_conv;

  std::vector<float> norm_weight(kModel, 1.0f);
  if (norm && norm->affine) norm_weight = checkpoint.floats(norm->name + ".weight", {kModel});
  const auto in = tensor(".in_proj.weight", {2 * kInner, kModel}), out = tensor(".out_proj.weight", {kModel, kInner});
  std::array<int, kModel> input{};  // indexed by storage position
  for (int k = 0; k < kModel; ++k) input[size_t(stored_at<kModel>(k))] = k;
  const auto in_proj = [&](int place, int c) {
    const int k = input[size_t(place)];
    return in[size_t(c * kModel + k)] * norm_weight[size_t(k)];
  };
  pack(w.expand.in_x, in_proj);
  pack(w.recur.in_z, [&](int place, int c) { return in_proj(place, kInner + c); });
  pack(w.recur.out, [&](int c, int k) { return out[size_t(k * kInner + c)]; });
  const auto x_proj = tensor(".x_proj.weight", {rank + kMixing, kInner}),
             dt = tensor(".dt_proj.weight", {kInner, rank});
  const auto A_log = checkpoint.doubles(config.name + ".A_log", {kInner, kStates});
  const auto dt_bias = tensor(".dt_proj.bias", {kInner}), D = tensor(".D", {kInner});
  const auto conv = taps > 0 ? tensor(".conv1d.weight", {kInner, 1, taps}) : std::vector<float>();
  const auto conv_bias =
      taps > 0 && config.conv_bias ? tensor(".conv1d.bias", {kInner}) : std::vector<float>(kInner, 0.0f);
  // B and C come first, so that they are whole tiles.
  pack(w.expand.x_proj, [&](int c, int n) {
    if (n >= kMixing + rank) return 0.0f;
    return x_proj[size_t((n < kMixing ? rank + n : n - kMixing) * kInner + c)];
  });
  for (int c = 0; c < kInner; ++c) {
    for (int r = 0; r < rank; ++r) w.rank_to_dt[c][r] = dt[size_t(c * rank + r)];
    for (int n = 0; n < kStates; ++n) w.a[c][n] = float(-std::exp(A_log[size_t(c * kStates + n)]) * M_LOG2E);
    for (int j = 0; j < taps; ++j) w.conv[c][kTaps - taps + j] = conv[size_t(c * taps + j)];
    if (taps == 0) w.conv[c][kTaps - 1] = 1.0f;
    w.conv_bias[c] = conv_bias[size_t(c)];
    w.dt_bias[c] = dt_bias[size_t(c)];
    w.D[c] = D[size_t(c)];
  }
  if (config.bias) {
    const auto in_bias = tensor(".in_proj.bias", {2 * kInner}), out_bias = tensor(".out_proj.bias", {kModel});
    std::copy_n(in_bias.begin(), kInner, w.in_x_bias);
    std::copy_n(in_bias.begin() + kInner, kInner, w.in_z_bias);
    std::copy_n(out_bias.begin(), kModel, w.out_bias);
  }
  if (config.x_proj_bias) {
    const auto bias = tensor(".x_proj.bias", {rank + kMixing});
    std::copy_n(bias.begin() + rank, kMixing, w.x_proj_bias);
    std::copy_n(bias.begin(), rank, w.x_proj_bias + kMixing);
  }
  const float* floats = reinterpret_cast<const float*>(vectors.data());
  return {floats, floats + vectors.size() * 4};
}

}  // namespace coil::gpu::mamba1
