// The kernel of SSD in matrix form. Source: Dao & Gu 2024, section 6, whose chunks are tiles of 16 frames here, one after the other, so that the
// state never leaves a warp's registers.
//
// A warp runs 16 channels of a chunk, half of which may belong to the next head. With the sums of dt A from a tile's begin, s, in base 2:
//   y      = e^s (C h) + ((C B^T) * L) u,   L[t][i] = 2^(s_t - s_i) dt_i for i <= t, else 0; D on its diagonal
//   h^T    = 2^(s_end) h^T + (2^(s_end - s) dt u)^T B
// h is held transposed, [channel][state]: as sums of the second product, which are the right side of the first (gpu/tensor_cores.cuh).
// Frames are inputs of a product as [step][t], [step][t + 4] = frame 8 step + t, 8 step + t + 4; states as 8 step + 2 t, 8 step + 2 t + 1.
#pragma once

#include "gpu/math.cuh"
#include "gpu/segment.h"
#include "gpu/ssd.h"
#include "gpu/tensor_cores.cuh"

namespace coil::gpu {

inline constexpr int kSsdTile = 16;  // frames

// Of one frame in its tile: s as the sum of two floats, as what decays by much less than s is their difference.
struct alignas(16) SsdTime {
  float high, low;
  float step;    // dt
  float weight;  // 2^(s_end - s) dt
};

// Shared memory of a block that runs `heads` heads.
template <int kStates>
struct SsdShared {
  static constexpr int kTiles = kStates > 64 ? 2 : 4, kSpan = kSsdTile * kTiles;  // whose B, C and decays are there at once
  static constexpr int kRow = kStates + 8;  // floats; what a warp reads at once lies in different banks
  int heads;

  __host__ __device__ constexpr size_t floats(bool with_output) const {
    return size_t(kSpan) * kRow * (with_output ? 2 : 1) + size_t(kTiles) * 32 * 8 * (with_output ? 1 : 0) + size_t(kTiles * heads) * kSsdTile * 5 +
           size_t(kTiles * heads) + size_t(kSpan) * size_t(heads + 1);
  }

  // Pieces in the order of their alignment; B is first, C and mixing are there with output only.
  struct Pieces {
    float *B, *C, *mixing;  // mixing: C B^T, [tile][lane][sums of two products]
    SsdTime* time;          // [tile][head][frame]
    float* decay;           // [tile][head][frame]: 2^s
    float* end;             // [tile][head]: s of the tile's last frame
    float* dt;              // [frame][heads + 1]
  };
  __device__ Pieces at(float* memory, bool with_output) const {
    Pieces p;
    p.B = memory;
    p.C = p.B + kSpan * kRow;
    p.mixing = with_output ? p.C + kSpan * kRow : p.C;
    p.time = reinterpret_cast<SsdTime*>(with_output ? p.mixing + kTiles * 32 * 8 : p.C);
    p.decay = reinterpret_cast<float*>(p.time + kTiles * heads * kSsdTile);
    p.end = p.decay + kTiles * heads * kSsdTile;
    p.dt = p.end + kTiles * heads;
    return p;
  }
};

// Rows of B or C into shared memory; what lies beyond the frames or states is 0.
template <int kStates>
__device__ void load_mixing_rows(const float* from, int stride, int states, int frames, float* to) {
  constexpr int kRow = SsdShared<kStates>::kRow, kSpan = SsdShared<kStates>::kSpan, kVectors = kStates / 4;
  const bool vectors = states % 4 == 0 && stride % 4 == 0 && reinterpret_cast<uintptr_t>(from) % 16 == 0;
#pragma unroll 4
  for (int i = int(threadIdx.x); i < kSpan * kVectors; i += int(blockDim.x)) {
    const int frame = i / kVectors, n = i % kVectors * 4;
    const float* at = from + ptrdiff_t(frame) * stride + n;
    float4 v{0, 0, 0, 0};
    if (frame < frames && n < states) {
      if (vectors) {
        v = *reinterpret_cast<const float4*>(at);
      } else {
        v.x = at[0];
        if (n + 1 < states) v.y = at[1];
        if (n + 2 < states) v.z = at[2];
        if (n + 3 < states) v.w = at[3];
      }
    }
    *reinterpret_cast<float4*>(to + frame * kRow + n) = v;
  }
}

// Calls f(state, i of the lane's sums) for the 4 sums of every 8 states of a warp's 16 channels: places in (channel, state).
template <class F>
__device__ void each_state(int tiles, int lane, const F& f) {
#pragma unroll
  for (int tile = 0; tile < tiles; ++tile)
#pragma unroll
    for (int i = 0; i < 4; ++i) f(tile, i, lane / 4 + 8 * (i / 2), 8 * tile + lane % 4 * 2 + i % 2);
}

// The left side of a product of C with what lies over its states, for 16 states from n.
template <int kStates>
__device__ void read_C(const float* C, int n, int lane, float (&values)[2][4]) {
  constexpr int kRow = SsdShared<kStates>::kRow;
  const float* row = C + lane / 4 * kRow + n + lane % 4 * 2;
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    const float2 upper = *reinterpret_cast<const float2*>(row + 8 * step), lower = *reinterpret_cast<const float2*>(row + 8 * kRow + 8 * step);
    values[step][0] = upper.x, values[step][1] = lower.x, values[step][2] = upper.y, values[step][3] = lower.y;
  }
}

// C B^T of one tile: sums of frames t x frames [8 step + t, 8 step + t + 4], the order that makes them the left side of the product with u.
template <Precision kPrecision, int kStates>
__device__ void mix_frames(const float* B, const float* C, int lane, float* to) {
  constexpr int kRow = SsdShared<kStates>::kRow;
  const int frame = lane / 4 / 2 + lane / 4 % 2 * 4;
  float sums[2][4] = {};
#pragma unroll
  for (int n = 0; n < kStates; n += 16) {
    float values[2][4];
    read_C<kStates>(C, n, lane, values);
    const Left<kPrecision> left(values);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float right[2][2];
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        const float2 pair = *reinterpret_cast<const float2*>(B + (8 * half + frame) * kRow + n + 8 * step + lane % 4 * 2);
        right[step][0] = pair.x, right[step][1] = pair.y;
      }
      multiply_add(sums[half], left, Right<kPrecision>(right));
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half)
    *reinterpret_cast<float4*>(to + lane * 8 + 4 * half) = float4{sums[half][0], sums[half][1], sums[half][2], sums[half][3]};
}

// s and what follows from it for one tile and head by 16 lanes, in float64: a tile may decay by so much that the float32 of s would not do.
__device__ inline void sum_decays(float dt, float a, int frame, SsdTime* time, float* decay, float* end) {
  double s = double(dt) * double(a);
#pragma unroll
  for (int back = 1; back < kSsdTile; back *= 2) {
    const double before = __shfl_up_sync(0xffffffffu, s, unsigned(back), kSsdTile);
    if (frame >= back) s += before;
  }
  const double last = __shfl_sync(0xffffffffu, s, kSsdTile - 1, kSsdTile);
  const float high = float(s);
  time[frame] = {high, float(s - double(high)), dt, exp2_fast(float(last - s)) * dt};
  decay[frame] = exp2_fast(high);
  if (frame == kSsdTile - 1) *end = high;
}

// kTrue: from the chunk's true state, with outputs; else from zero, to the chunk's end state and its sum of dt A in base 2. Blocks of whole
// warps: block `parts * chunk + part` runs the chunk's channels from 16 * warps * part on, which are of one group. carries: [chunk][channel][state];
// sums: [chunk][head].
template <Precision kPrecision, int kStates, bool kTrue, int kMaxWarps, int kBlocks>
__global__ void __launch_bounds__(32 * kMaxWarps, kBlocks) ssd_chunks(Ssd s, float* carries, float* sums, const Chunk* chunks, int chunk_frames, int parts) {
  constexpr int kRow = SsdShared<kStates>::kRow, kTiles = SsdShared<kStates>::kTiles, kSpan = SsdShared<kStates>::kSpan, kStateTiles = kStates / 8;
  const size_t index = blockIdx.x / unsigned(parts);
  const Chunk chunk = chunks[index];
  if (!kTrue && chunk.last) return;
  const int warps = int(blockDim.x) / 32, warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int first_channel = int(blockIdx.x % unsigned(parts)) * 16 * warps, channel = first_channel + 16 * warp, group = first_channel / s.group_channels;
  const int first_head = first_channel / s.headdim, heads = (first_channel + 16 * warps - 1) / s.headdim - first_head + 1, all_heads = s.channels / s.headdim;
  const int head[2] = {channel / s.headdim - first_head, (channel + 8) / s.headdim - first_head};  // of the two halves
  const auto shared = SsdShared<kStates>{heads}.at(dynamic_shared(), kTrue);
  const size_t row = index * size_t(chunk_frames);
  const float D[2] = {kTrue && s.D ? s.D[first_head + head[0]] : 0.0f, kTrue && s.D ? s.D[first_head + head[1]] : 0.0f};

  float state[kStateTiles][4] = {};
  float* carry = carries + (index * size_t(s.channels) + size_t(channel)) * size_t(s.d_state);
  if constexpr (kTrue)
    each_state(kStateTiles, lane, [&](int tile, int i, int c, int n) {
      if (n < s.d_state) state[tile][i] = carry[size_t(c) * size_t(s.d_state) + size_t(n)];
    });

  // u of a tile, [half][step][t, t + 4]
  const auto load_u = [&](int first, float (&u)[2][2][2]) {
    const float* at = s.u + (row + size_t(first)) * size_t(s.u_stride) + size_t(channel + g);
#pragma unroll
    for (int step = 0; step < 2; ++step)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int frame = 8 * step + t + 4 * i;
#pragma unroll
        for (int half = 0; half < 2; ++half) u[half][step][i] = first + frame < chunk.frames ? at[ptrdiff_t(frame) * s.u_stride + 8 * half] : 0.0f;
      }
  };

  float next_u[2][2][2], elapsed = 0;
  load_u(0, next_u);
  for (int s0 = 0; s0 < chunk.frames; s0 += kSpan) {
    const int frames = min(chunk.frames - s0, kSpan), tiles = (frames + kSsdTile - 1) / kSsdTile;
    const size_t span_row = row + size_t(s0), mixing = span_row * size_t(s.bc_stride) + size_t(group * s.d_state);
    __syncthreads();  // the last span has been read
    load_mixing_rows<kStates>(s.B + mixing, s.bc_stride, s.d_state, frames, shared.B);
    if constexpr (kTrue) load_mixing_rows<kStates>(s.C + mixing, s.bc_stride, s.d_state, frames, shared.C);
    for (int i = int(threadIdx.x); i < kSpan * heads; i += int(blockDim.x)) {
      const int frame = i / heads, h = i % heads;
      float dt = 0;
      if (frame < frames) {
        dt = s.dt[(span_row + size_t(frame)) * size_t(s.dt_stride) + size_t(first_head + h)];
        if (s.dt_bias) dt = fminf(fmaxf(softplus(dt + s.dt_bias[first_head + h]), s.dt_min), s.dt_max);
      }
      shared.dt[frame * (heads + 1) + h] = dt;
    }
    __syncthreads();
    if constexpr (kTrue)
      for (int tile = warp; tile < tiles; tile += warps)
        mix_frames<kPrecision, kStates>(shared.B + tile * kSsdTile * kRow, shared.C + tile * kSsdTile * kRow, lane, shared.mixing + tile * 256);
    // a half of a warp for each tile and head
    for (int first = 2 * warp; first < kTiles * heads; first += 2 * warps) {
      const int work = first + lane / 16, tile = work / heads, h = work % heads, frame = lane % 16;
      sum_decays(shared.dt[(tile * kSsdTile + frame) * (heads + 1) + h], s.a[first_head + h], frame, shared.time + work * kSsdTile,
                 shared.decay + work * kSsdTile, shared.end + work);
    }
    __syncthreads();
    if (!kTrue && int(threadIdx.x) < heads)
      for (int tile = 0; tile < tiles; ++tile) elapsed += shared.end[tile * heads + int(threadIdx.x)];

    for (int tile = 0; tile < tiles; ++tile) {
      const int first = s0 + tile * kSsdTile;
      float u[2][2][2];
#pragma unroll
      for (int i = 0; i < 8; ++i) u[i / 4][i / 2 % 2][i % 2] = next_u[i / 4][i / 2 % 2][i % 2];
      if (first + kSsdTile < chunk.frames) load_u(first + kSsdTile, next_u);
      const float *B = shared.B + tile * kSsdTile * kRow, *C = shared.C + tile * kSsdTile * kRow;
      const SsdTime* time[2] = {shared.time + (tile * heads + head[0]) * kSsdTile, shared.time + (tile * heads + head[1]) * kSsdTile};

      if constexpr (kTrue) {
        float out[2][4] = {};
#pragma unroll
        for (int n = 0; n < kStates; n += 16) {
          float values[2][4];
          read_C<kStates>(C, n, lane, values);
          const Left<kPrecision> left(values);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const auto &h0 = state[n / 8], &h1 = state[n / 8 + 1];
            multiply_add(out[half], left, Right<kPrecision>({{h0[2 * half], h0[2 * half + 1]}, {h1[2 * half], h1[2 * half + 1]}}));
          }
        }
        const float4 mixed[2] = {*reinterpret_cast<const float4*>(shared.mixing + tile * 256 + lane * 8),
                                 *reinterpret_cast<const float4*>(shared.mixing + tile * 256 + lane * 8 + 4)};
        float mask[2][4] = {};
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float* decay = shared.decay + (tile * heads + head[half]) * kSsdTile;
          const float upper = decay[g], lower = decay[g + 8];
          out[half][0] *= upper, out[half][1] *= upper, out[half][2] *= lower, out[half][3] *= lower;
          if (half == 0 || head[0] != head[1]) {
            const SsdTime now[2] = {time[half][g], time[half][g + 8]};
#pragma unroll
            for (int step = 0; step < 2; ++step) {
              const float products[2][2] = {{mixed[step].x, mixed[step].y}, {mixed[step].z, mixed[step].w}};  // [upper, lower][t, t + 4]
#pragma unroll
              for (int i = 0; i < 2; ++i) {
                const int then = 8 * step + t + 4 * i;
                const SsdTime past = time[half][then];
#pragma unroll
                for (int r = 0; r < 2; ++r) {
                  if (step > r) {
                    mask[step][r + 2 * i] = 0.0f;
                    continue;
                  }
                  const float factor = exp2_fast((now[r].high - past.high) + (now[r].low - past.low)) * past.step;
                  const float value = step < r || then <= g + 8 * r ? products[r][i] * factor : 0.0f;
                  mask[step][r + 2 * i] = then == g + 8 * r ? value + D[half] : value;
                }
              }
            }
          }
          multiply_add(out[half], Left<kPrecision>(mask), Right<kPrecision>(u[half]));
        }
#pragma unroll
        for (int half = 0; half < 2; ++half)
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const int frame = first + g + 8 * r, c = channel + 8 * half + 2 * t;
            if (frame >= chunk.frames) continue;
            float2 y{out[half][2 * r], out[half][2 * r + 1]};
            if (s.z) {
              const float* z = s.z + (row + size_t(frame)) * size_t(s.z_stride) + size_t(c);
              y.x *= silu(z[0]), y.y *= silu(z[1]);
            }
            *reinterpret_cast<float2*>(s.y + (row + size_t(frame)) * size_t(s.y_stride) + size_t(c)) = y;
          }
        if (!chunk.last && first + kSsdTile >= chunk.frames) continue;  // the state that follows is the next chunk's
      }

      const float decay[2] = {exp2_fast(shared.end[tile * heads + head[0]]), exp2_fast(shared.end[tile * heads + head[1]])};
      float weighted[2][4];
#pragma unroll
      for (int step = 0; step < 2; ++step)
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
          for (int half = 0; half < 2; ++half) weighted[step][half + 2 * i] = u[half][step][i] * time[half][8 * step + t + 4 * i].weight;
      const Left<kPrecision> left(weighted);
#pragma unroll
      for (int n = 0; n < kStateTiles; ++n) {
        float right[2][2];
#pragma unroll
        for (int step = 0; step < 2; ++step)
#pragma unroll
          for (int i = 0; i < 2; ++i) right[step][i] = B[(8 * step + t + 4 * i) * kRow + 8 * n + g];
        state[n][0] *= decay[0], state[n][1] *= decay[0], state[n][2] *= decay[1], state[n][3] *= decay[1];
        multiply_add(state[n], left, Right<kPrecision>(right));
      }
    }
  }

  if (kTrue && !chunk.last) return;
  float* to = kTrue ? s.table + size_t(chunk.state_out) * s.table_stride + size_t(channel) * size_t(s.d_state) : carry;
  each_state(kStateTiles, lane, [&](int tile, int i, int c, int n) {
    if (n < s.d_state) to[size_t(c) * size_t(s.d_state) + size_t(n)] = state[tile][i];
  });
  if (!kTrue && int(threadIdx.x) < heads) sums[index * size_t(all_heads) + size_t(first_head + int(threadIdx.x))] = elapsed;
}

}  // namespace coil::gpu
