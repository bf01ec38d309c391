// The kernel of SSD in matrix form. Source: Dao & Gu 2024, section 6. Its chunks are called spans here; a span has one
// or two tiles of 16 frames. Spans run one after another, so that the state never leaves a warp's registers.
//
// A warp processes 16 channels of a chunk, half of which may belong to the next head. s are the sums of dt A from the
// start of a tile, in base 2; h is the state before the span; w = 2^(s_end - s) dt. Two tiles are
//   y_0    = 2^s (C_0 h) + ((C_0 B_0^T) * L) u_0 + D u_0,   L[t][i] = 2^(s_t - s_i) dt_i for i <= t, else 0
//   y_1    = 2^s (2^(s_end of 0) C_1 h + (C_1 B_0^T) (w_0 u_0)) + ((C_1 B_1^T) * L) u_1 + D u_1
//   h^T    = 2^(s_end of both) h^T + (2^(s_end of 1) w_0 u_0)^T B_0 + (w_1 u_1)^T B_1
// h is stored transposed, [channel][state]: its elements are the sums of the third product, which are the right side of
// the first one (gpu/tensor_cores.cuh). If a tile's decay is mild, L[t][i] is the product of 2^s_t, which C h needs
// too, and 2^-s_i dt_i, which multiplies u. Then C B^T is the same for all heads.
//
// The warps of a block share B, C, their products and the decays. The data of a span is copied while the previous span
// runs. B and C are converted to sides of products once, for all warps.
//
// Frames are inputs of a product as [step][i]: frame 8 step + 2 t + i of a tile; 16 states as [step][i]: state 4 t + 2
// i + step, so that the states of a lane are neighbours.
#pragma once

#include <cstring>

#include "gpu/elements.cuh"
#include "gpu/math.cuh"
#include "gpu/segment.h"
#include "gpu/ssd.h"
#include "gpu/tensor_cores.cuh"

namespace coil::gpu {

inline constexpr int kSsdTile = 16;  // frames

// For one head in one tile, per frame: s as the sum of two floats (so that differences much smaller than s are
// accurate); dt; w; 2^s; 2^-s dt.
struct alignas(16) SsdDecays {
  float high[kSsdTile], low[kSsdTile], step[kSsdTile], weight[kSsdTile], decay[kSsdTile], growth[kSsdTile];
  __device__ float end() const { return high[kSsdTile - 1]; }
  __device__ bool mild() const { return end() > -32; }  // 2^-s must leave headroom for large u
};

// The shared memory of a block with `heads` heads and `warps` warps.
template <Precision kPrecision, int kStates, int kTiles>
struct SsdShared {
  static constexpr int kSpan = kTiles * kSsdTile, kSteps = kStates / 16;  // frames; 16 states each
  static constexpr int kRowB = kStates + 4,
                       kRowC = kStates / 32 * 32 + 16;  // floats; the words that a warp reads at once are in different
                                                        // banks
  static constexpr int kSide =
      32 * sizeof(Left<kPrecision>) / 4;   // floats of 16 frames x 16 states as a side of a product
  static constexpr int kOwn = kSpan * 16;  // values of a warp's channels of u or z
  // C B^T of each tile with itself, and of the second with the first: sums of frames x frames, [part][half][lane][4],
  // each part over this many steps
  static constexpr int kMixings = 2 * kTiles - 1,
                       kPartSteps = kSteps > 4 && kPrecision == Precision::float32 ? 2 : kSteps;
  static constexpr int kMixingParts = kSteps / kPartSteps, kMixing = 256 * kMixingParts;
  static constexpr bool kKeptMixing = kMixingParts > 1;  // the parts are combined once, to a side of a product
  int heads, warps;
  bool with_output, with_gate;

  // The position of a warp's channel < 8 in a frame < 8. Rows of 16 channels are ordered so that lanes use different
  // banks, both when they copy 4 channels each and when they read operands. The other 8 channels are at own_at ^ 8; 8
  // frames further is 128 further; an odd frame is 32 after the even one.
  __host__ __device__ static constexpr int own_at(int frame, int channel) {
    return (frame / 4 * 4 + frame % 2 * 2 + frame / 2 % 2) * 16 + frame / 4 * 8 + channel;
  }

  __host__ __device__ constexpr size_t floats() const {
    const int sides = kTiles * kSteps * kSide, mixing = kMixings * (kMixing + (kKeptMixing ? kSide : 0));
    return size_t(kSpan * kRowB + sides + (with_output ? kSpan * kRowC + sides + mixing : 0) +
                  warps * kOwn * (with_gate ? 2 : 1)) +
           size_t(kTiles * heads) * sizeof(SsdDecays) / sizeof(float);
  }

  // C, its sides and the mixing exist only with output, z only with a gate.
  struct Pieces {
    float *B, *C;              // [frame][kRowB], [frame][kRowC]
    float *B_sides, *C_sides;  // [tile][step]: right sides of the product with u, left sides of that with h
    float *mixing,
        *mixing_sides;  // C_0 B_0^T, C_1 B_1^T, C_1 B_0^T; and, if stored, as left sides of products with u
    float *u, *z;       // [warp][own_at(frame, channel)]
    SsdDecays* decays;  // [head][tile]
  };
  __device__ Pieces at(float* memory) const {
    const auto take = [&](int floats, bool there = true) {
      float* piece = memory;
      if (there) memory += floats;
      return piece;
    };
    Pieces p;
    p.B = take(kSpan * kRowB);
    p.C = take(kSpan * kRowC, with_output);
    p.B_sides = take(kTiles * kSteps * kSide);
    p.C_sides = take(kTiles * kSteps * kSide, with_output);
    p.mixing = take(kMixings * kMixing, with_output);
    p.mixing_sides = take(kMixings * kSide, with_output && kKeptMixing);
    p.u = take(warps * kOwn);
    p.z = take(warps * kOwn, with_gate);
    p.decays = reinterpret_cast<SsdDecays*>(memory);
    return p;
  }
};

// All threads start to copy a span's rows of B, and of C if wanted. Rows beyond `frames` repeat the last one; their dt
// is 0.
template <int kStates, class Shared, bool kWithC>
__device__ void copy_mixing(const float* B, const float* C, int stride, int states, int frames, float* to_B,
                            float* to_C) {
  constexpr int kSpan = Shared::kSpan;
  const int threads = int(blockDim.x);
  if (on_vectors(B, stride, states) && (!kWithC || on_vectors(C, stride))) {
    constexpr int kVectors = kStates / 4;
#pragma unroll 1
    for (int i = int(threadIdx.x); i < kSpan * kVectors; i += threads) {
      const int frame = i / kVectors, n = i % kVectors * 4;
      const int from = min(frame, frames - 1) * stride + n;
      if (n >= states) continue;
      copy_async(B + from, to_B + frame * Shared::kRowB + n);
      if (kWithC) copy_async(C + from, to_C + frame * Shared::kRowC + n);
    }
  } else {
#pragma unroll 1
    for (int i = int(threadIdx.x); i < kSpan * kStates; i += threads) {
      const int frame = i / kStates, n = i % kStates;
      const int from = min(frame, frames - 1) * stride + n;
      if (n >= states) continue;
      to_B[frame * Shared::kRowB + n] = B[from];
      if (kWithC) to_C[frame * Shared::kRowC + n] = C[from];
    }
  }
}

// The same for the 16 channels of a warp.
template <class Shared>
__device__ void copy_own(const float* from, int stride, int frames, float* to, int lane) {
  if (on_vectors(from, stride)) {
    const int at = Shared::own_at(lane / 4, lane % 2 * 4) ^ lane % 4 / 2 * 8;
#pragma unroll
    for (int i = 0; i < Shared::kSpan / 8; ++i)
      copy_async(from + (min(8 * i + lane / 4, frames - 1) * stride + lane % 4 * 4), to + 128 * i + at);
  } else {
#pragma unroll 1
    for (int i = 0; i < Shared::kSpan / 2; ++i) {
      const int frame = 2 * i + lane / 16, c = lane % 16;
      to[frame / 8 * 128 + (Shared::own_at(frame % 8, c % 8) ^ c / 8 * 8)] = from[min(frame, frames - 1) * stride + c];
    }
  }
}

// Writes a side of a product to shared memory and reads it back, without bank conflicts.
template <class Side>
__device__ void keep_side(const Side& side, float* to, int lane) {
  constexpr int kQuads = sizeof(Side) / sizeof(float4);
  float4 quads[kQuads];
  memcpy(quads, &side, sizeof(Side));
#pragma unroll
  for (int q = 0; q < kQuads; ++q) reinterpret_cast<float4*>(to)[32 * q + lane] = quads[q];
}
template <class Side>
__device__ Side kept_side(const float* from, int lane) {
  constexpr int kQuads = sizeof(Side) / sizeof(float4);
  float4 quads[kQuads];
#pragma unroll
  for (int q = 0; q < kQuads; ++q) quads[q] = reinterpret_cast<const float4*>(from)[32 * q + lane];
  Side side;
  memcpy(&side, quads, sizeof(Side));
  return side;
}

// 16 frames x 16 states from (0, 0) of B as the right sides of two products with u, each with every other state.
template <Precision kPrecision>
struct RightPair {
  Right<kPrecision> sides[2];
};
template <Precision kPrecision, int kRow>
__device__ RightPair<kPrecision> right_of_states(const float* B, int lane) {
  float values[2][2][2];
#pragma unroll
  for (int step = 0; step < 2; ++step)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float2 pair = *reinterpret_cast<const float2*>(B + (8 * step + lane % 4 * 2 + i) * kRow + lane / 4 * 2);
      values[0][step][i] = pair.x, values[1][step][i] = pair.y;
    }
  return {Right<kPrecision>(values[0]), Right<kPrecision>(values[1])};
}

// A part of C B^T for 16 frames and 16 others. The left sides of C are stored unless `C_sides` is null.
template <Precision kPrecision, class Shared>
__device__ void mix_frames(const float* B, const float* C, float* C_sides, float* mixing, int lane) {
  float sums[2][2][4] = {};  // of even and odd steps, so that they are independent
#pragma unroll
  for (int k = 0; k < Shared::kPartSteps; ++k) {
    const auto left = left_of_rows<kPrecision, Shared::kRowC>(C + 16 * k, lane);
    if (C_sides) keep_side(left, C_sides + k * Shared::kSide, lane);
    Right<kPrecision> right[2];
#pragma unroll
    for (int half = 0; half < 2; ++half)
      right[half] = right_of_rows<kPrecision, Shared::kRowB>(B + 8 * half * Shared::kRowB + 16 * k, lane);
    each_part<kPrecision>([&](int part) {
#pragma unroll
      for (int half = 0; half < 2; ++half) multiply_add_part(part, sums[k % 2][half], left, right[half]);
    });
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto &even = sums[0][half], &odd = sums[1][half];
    reinterpret_cast<float4*>(mixing)[32 * half + lane] =
        float4{even[0] + odd[0], even[1] + odd[1], even[2] + odd[2], even[3] + odd[3]};
  }
}

// C B^T of one tile and another, in the element order of a left side over the other's frames, before the conversion to
// its number format.
template <class Shared>
__device__ void read_mixing(const float* mixing, int lane, float (&values)[2][4]) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    float4 sums = reinterpret_cast<const float4*>(mixing)[32 * step + lane];
#pragma unroll
    for (int part = 1; part < Shared::kMixingParts; ++part) {
      const float4 more = reinterpret_cast<const float4*>(mixing)[64 * part + 32 * step + lane];
      sums.x += more.x, sums.y += more.y, sums.z += more.z, sums.w += more.w;
    }
    values[step][0] = sums.x, values[step][1] = sums.z, values[step][2] = sums.y, values[step][3] = sums.w;
  }
}

// Applies causality to the left side of a product over a tile's own frames: calls f(value, r, step, i) for values of
// frame g + 8 r with frames up to itself, and sets values with future frames to 0.
template <class F>
__device__ void each_past(int lane, float (&values)[2][4], const F& f) {
  const int g = lane / 4, t = lane % 4;
#pragma unroll
  for (int step = 0; step < 2; ++step)
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float& value = values[step][r + 2 * i];
        if (step <= r) f(value, r, step, i);
        if (step > r || (step == r && 2 * t + i > g)) value = 0;
      }
}

// (C B^T) * L.
template <Precision kPrecision>
__device__ Left<kPrecision> decayed(float (&values)[2][4], const SsdDecays& decays, int lane) {
  const int g = lane / 4, t = lane % 4;
  each_past(lane, values, [&](float& value, int r, int step, int i) {
    const int now = g + 8 * r, then = 8 * step + 2 * t + i;
    value *=
        exp2_fast((decays.high[now] - decays.high[then]) + (decays.low[now] - decays.low[then])) * decays.step[then];
  });
  return Left<kPrecision>(values);
}

// Computes s and the derived values for `kCount` tiles of a head, by 16 lanes, in float64: a tile may decay so strongly
// that s in float32 is not accurate enough.
template <int kCount>
__device__ void sum_decays(const float (&dt)[kCount], const float (&a)[kCount], int frame,
                           SsdDecays* const (&to)[kCount]) {
  double s[kCount], last[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) s[i] = double(dt[i]) * double(a[i]);
#pragma unroll
  for (int back = 1; back < kSsdTile; back *= 2)
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const double before = __shfl_up_sync(0xffffffffu, s[i], unsigned(back), kSsdTile);
      if (frame >= back) s[i] += before;
    }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    last[i] = __shfl_sync(0xffffffffu, s[i], kSsdTile - 1, kSsdTile);
    if (!to[i]) continue;
    const float high = float(s[i]), low = float(s[i] - double(high));
    to[i]->high[frame] = high, to[i]->low[frame] = low, to[i]->step[frame] = dt[i];
    to[i]->weight[frame] = exp2_fast(float(last[i] - s[i])) * dt[i];
    to[i]->decay[frame] = exp2_fast(high) * fmaf(low, kLn2, 1.0f),
    to[i]->growth[frame] = exp2_fast(-high) * fmaf(-low, kLn2, 1.0f) * dt[i];
  }
}

// Copies the states of a warp's 16 channels from or to rows of `d_state` floats. With fewer rows, the other channels'
// states are 0.
template <int kSteps>
__device__ void load_states(const float* from, int d_state, int lane, float (&state)[2 * kSteps][4], int rows = 16) {
  const bool vectors = on_vectors(from, d_state);
  const auto load = [&](const auto& quad) {
#pragma unroll
    for (int k = 0; k < kSteps; ++k)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int n = 16 * k + lane % 4 * 4;
        const int row = lane / 4 + 8 * half;
        const float4 v = quad(from + row * d_state + n, row < rows ? d_state - n : 0);
        state[2 * k][2 * half] = v.x, state[2 * k + 1][2 * half] = v.y, state[2 * k][2 * half + 1] = v.z,
                         state[2 * k + 1][2 * half + 1] = v.w;
      }
  };
  if (vectors)
    load([](const float* at, int left) {
      return left > 0 ? *reinterpret_cast<const float4*>(at) : float4{0, 0, 0, 0};
    });
  else
    load([](const float* at, int left) {
      return float4{left > 0 ? at[0] : 0, left > 1 ? at[1] : 0, left > 2 ? at[2] : 0, left > 3 ? at[3] : 0};
    });
}
template <int kSteps>
__device__ void store_states(float* to, int d_state, int lane, const float (&state)[2 * kSteps][4], int rows = 16) {
  const bool vectors = on_vectors(to, d_state);
#pragma unroll
  for (int k = 0; k < kSteps; ++k)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int n = 16 * k + lane % 4 * 4, row = lane / 4 + 8 * half, left = row < rows ? d_state - n : 0;
      float* at = to + row * d_state + n;
      const float4 v{state[2 * k][2 * half], state[2 * k + 1][2 * half], state[2 * k][2 * half + 1],
                     state[2 * k + 1][2 * half + 1]};
      if (vectors) {
        if (left > 0) *reinterpret_cast<float4*>(at) = v;
      } else {
        if (left > 0) at[0] = v.x;
        if (left > 1) at[1] = v.y;
        if (left > 2) at[2] = v.z;
        if (left > 3) at[3] = v.w;
      }
    }
}

// kTrue: from the chunk's true state, with outputs; else from zero, computing the chunk's end state and its sum of dt A
// in base 2. Blocks have whole warps: block `parts * chunk + part` processes the chunk's channels from 16 * warps *
// part on, which belong to one group. carries: [chunk][channel][state]; sums: [chunk][head].
//
// Stages of a span; each warp runs the last three for its own channels:
//   1. products of B and C, their sides, and the decays, divided among the warps
//   2. start to copy B and C of the next span
//   3. C h (kTrue)
//   4. the products with u, D u, and the gate; writes y (kTrue)
//   5. h for the next span
template <Precision kPrecision, int kStates, int kTiles, bool kTrue, int kMaxWarps, int kBlocks>
__global__ void __launch_bounds__(32 * kMaxWarps, kBlocks)
    ssd_chunks(SsdArguments s, float* carries, float* sums, const Chunk* chunks, int chunk_frames, int parts) {
  using Shared = SsdShared<kPrecision, kStates, kTiles>;
  constexpr int kSpan = Shared::kSpan, kSteps = Shared::kSteps, kSide = Shared::kSide;
  const size_t index = blockIdx.x / unsigned(parts);
  const Chunk chunk = chunks[index];
  if (!kTrue && chunk.last) return;
  const int warps = int(blockDim.x) / 32,
            warp = __shfl_sync(0xffffffffu, int(threadIdx.x) / 32, 0);  // tells the compiler that it is the same in all
                                                                        // lanes
  const int lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int first_channel = int(blockIdx.x % unsigned(parts)) * 16 * warps, channel = first_channel + 16 * warp,
            group = first_channel / s.group_channels;
  const int first_head = first_channel / s.headdim,
            heads = (first_channel + 16 * warps - 1) / s.headdim - first_head + 1, all_heads = s.channels / s.headdim;
  const int head[2] = {channel / s.headdim - first_head, (channel + 8) / s.headdim - first_head};  // of the two halves
  const bool gated = kTrue && s.z;
  const auto shared = Shared{heads, warps, kTrue, gated}.at(dynamic_shared());
  float *own_u = shared.u + warp * Shared::kOwn, *own_z = shared.z + warp * Shared::kOwn;
  const int u_at = Shared::own_at(2 * t, g), z_at = Shared::own_at(g, 2 * t);
  const size_t row = index * size_t(chunk_frames);
  const float D[2] = {kTrue && s.D ? s.D[first_head + head[0]] : 0.0f, kTrue && s.D ? s.D[first_head + head[1]] : 0.0f};

  // Copies come in two groups per span: B and C while the last products of the previous span start, u and z when they
  // have ended.
  const auto copy_next_mixing = [&](int first) {
    if (first < chunk.frames) {
      const size_t at = (row + size_t(first)) * size_t(s.bc_stride) + size_t(group * s.d_state);
      copy_mixing<kStates, Shared, kTrue>(s.B + at, s.C + at, s.bc_stride, s.d_state, chunk.frames - first, shared.B,
                                          shared.C);
    }
    end_copy_group();
  };
  const auto copy_next_own = [&](int first) {
    if (first < chunk.frames) {
      const auto copy = [&](const float* from, int stride, float* to) {
        copy_own<Shared>(from + (row + size_t(first)) * size_t(stride) + size_t(channel), stride, chunk.frames - first,
                         to, lane);
      };
      copy(s.u, s.u_stride, own_u);
      if (gated) copy(s.z, s.z_stride, own_z);
    }
    end_copy_group();
  };

  // Half a warp sums the decays of one head in one tile; a block has at most two heads per warp. The last warps start
  // with this, because the first ones have more sides to compute.
  int sums_at[kTiles], sums_head[kTiles];
  float a[kTiles], bias[kTiles], next_dt[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    sums_at[i] = 2 * (warps - 1 - warp + warps * i) + lane / 16;
    sums_head[i] = min(sums_at[i] / kTiles, heads - 1);
    a[i] = s.a[first_head + sums_head[i]], bias[i] = s.dt_bias ? s.dt_bias[first_head + sums_head[i]] : 0.0f;
  }
  const auto load_dt = [&](int first) {
    const float* at = s.dt + (row + size_t(first)) * size_t(s.dt_stride) + size_t(first_head);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const int frame = sums_at[i] % kTiles * kSsdTile + lane % 16;
      next_dt[i] =
          first + frame < chunk.frames && sums_at[i] < kTiles * heads ? at[frame * s.dt_stride + sums_head[i]] : 0.0f;
    }
  };

  if (s.d_state < kStates) {  // missing states stay 0
    for (int i = int(threadIdx.x); i < kSpan * (Shared::kRowB + (kTrue ? Shared::kRowC : 0)); i += int(blockDim.x))
      shared.B[i] = 0;
    __syncthreads();
  }
  copy_next_mixing(0);
  load_dt(0);
  copy_next_own(0);

  float state[2 * kSteps][4] = {};
  float* carry = carries + (index * size_t(s.channels) + size_t(channel)) * size_t(s.d_state);
  if constexpr (kTrue) load_states<kSteps>(carry, s.d_state, lane, state);
  float elapsed = 0;

  for (int first = 0; first < chunk.frames; first += kSpan) {
    wait_for_copy_groups<1>();  // B and C
    __syncthreads();            // all threads have copied, and no thread needs the last span's sides any more
    constexpr int kMixingWork = kTrue ? Shared::kMixings * Shared::kMixingParts : 0;
    if constexpr (kTrue)
      for (int work = warp; work < kMixingWork; work += warps) {
        const int block = work / Shared::kMixingParts, part = work % Shared::kMixingParts,
                  k = part * Shared::kPartSteps, now = block > 0, then = block == 1;
        mix_frames<kPrecision, Shared>(shared.B + then * kSsdTile * Shared::kRowB + 16 * k,
                                       shared.C + now * kSsdTile * Shared::kRowC + 16 * k,
                                       now == then ? shared.C_sides + (now * kSteps + k) * kSide : nullptr,
                                       shared.mixing + block * Shared::kMixing + 256 * part, lane);
      }
    // If there are enough warps, those that compute no mixing do this.
    if (const int mixers = warps > kMixingWork ? kMixingWork : 0; warp >= mixers)
      for (int side = warp - mixers; side < kTiles * kSteps; side += warps - mixers) {
        const float* B = shared.B + side / kSteps * kSsdTile * Shared::kRowB + side % kSteps * 16;
        keep_side(right_of_states<kPrecision, Shared::kRowB>(B, lane), shared.B_sides + side * kSide, lane);
      }
    if (2 * (warps - 1 - warp) < kTiles * heads) {
      SsdDecays* to[kTiles];
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        to[i] = sums_at[i] < kTiles * heads ? shared.decays + sums_at[i] : nullptr;
        if (s.dt_bias && first + sums_at[i] % kTiles * kSsdTile + lane % 16 < chunk.frames)
          next_dt[i] = fminf(fmaxf(softplus(next_dt[i] + bias[i]), s.dt_min), s.dt_max);
      }
      sum_decays(next_dt, a, lane % 16, to);
    }
    __syncthreads();
    if (!kTrue && int(threadIdx.x) < heads)
      for (int tile = 0; tile < kTiles; ++tile) elapsed += shared.decays[kTiles * int(threadIdx.x) + tile].end();
    copy_next_mixing(first + kSpan);
    load_dt(first + kSpan);

    // A tile's product with itself as a left side, without future frames.
    const auto mixing_side = [&](int block) {
      float values[2][4];
      read_mixing<Shared>(shared.mixing + block * Shared::kMixing, lane, values);
      if (block < kTiles) each_past(lane, values, [](float&, int, int, int) {});
      return Left<kPrecision>(values);
    };
    if constexpr (kTrue && Shared::kKeptMixing)
      for (int block = warp; block < Shared::kMixings; block += warps)
        keep_side(mixing_side(block), shared.mixing_sides + block * kSide, lane);
    const auto kept_mixing = [&](int block) {
      if constexpr (Shared::kKeptMixing)
        return kept_side<Left<kPrecision>>(shared.mixing_sides + block * kSide, lane);
      else
        return mixing_side(block);
    };
    float out[kTiles][2][4] = {};  // initialised with C h
    if constexpr (kTrue) {
      constexpr int kChains =
          kTiles == 1 && kParts < kPrecision >> 1 ? 2 : 1;  // parts that add to the same sums are four products apart
      float sums[kChains][kTiles][2][4] = {};
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        Left<kPrecision> left[kTiles];
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile)
          left[tile] = kept_side<Left<kPrecision>>(shared.C_sides + (tile * kSteps + k) * kSide, lane);
        const auto &h0 = state[2 * k], &h1 = state[2 * k + 1];
        const Right<kPrecision> right[2] = {Right<kPrecision>({{h0[0], h0[1]}, {h1[0], h1[1]}}),
                                            Right<kPrecision>({{h0[2], h0[3]}, {h1[2], h1[3]}})};
        each_part<kPrecision>([&](int part) {
#pragma unroll
          for (int i = 0; i < 2 * kTiles; ++i)
            multiply_add_part(part, sums[part % kChains][i / 2][i % 2], left[i / 2], right[i % 2]);
        });
      }
#pragma unroll
      for (int i = 0; i < 8 * kTiles; ++i)
        for (int chain = 0; chain < kChains; ++chain)
          out[i / 8][i / 4 % 2][i % 4] += sums[chain][i / 8][i / 4 % 2][i % 4];
    }

    wait_for_copy_groups<1>();  // u and z
    if constexpr (kTrue && Shared::kKeptMixing)
      __syncthreads();
    else
      __syncwarp();
    const SsdDecays* decays[kTiles][2];
    float ends[kTiles][2];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        decays[tile][half] = shared.decays + kTiles * head[half] + tile;
        ends[tile][half] = decays[tile][half]->decay[kSsdTile - 1];
      }
    // [half][step][i]. u is read again for every product: registers limit the number of warps on a multiprocessor.
    const auto read_u = [&](int tile, float(&u)[2][2][2]) {
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 8; ++i)
        u[i / 4][i / 2 % 2][i % 2] = own_u[(u_at ^ i / 4 * 8) + tile * 256 + i / 2 % 2 * 128 + i % 2 * 32];
    };
    const auto weigh = [&](int tile, float(SsdDecays::*by)[kSsdTile], float(&u)[2][2][2]) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int half = i / 2, step = i % 2;
        const float2 weight = *reinterpret_cast<const float2*>((decays[tile][half]->*by) + 8 * step + 2 * t);
        u[half][step][0] *= weight.x, u[half][step][1] *= weight.y;
      }
    };

    if constexpr (kTrue) {
      float* y = s.y + (row + size_t(first)) * size_t(s.y_stride) + size_t(channel) + (g * s.y_stride + 2 * t);
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        float u[2][2][2];
        const auto multiply_add_u = [&](const Left<kPrecision>& left) {
          const Right<kPrecision> right[2] = {Right<kPrecision>(u[0]), Right<kPrecision>(u[1])};
          each_part<kPrecision>([&](int part) {
#pragma unroll
            for (int half = 0; half < 2; ++half) multiply_add_part(part, out[tile][half], left, right[half]);
          });
        };
        const auto decay_rows = [&] {
#pragma unroll
          for (int i = 0; i < 8; ++i) out[tile][i / 4][i % 4] *= decays[tile][i / 4]->decay[g + i % 4 / 2 * 8];
        };
        if (tile == 1) {
          read_u(0, u);
          weigh(0, &SsdDecays::weight, u);
#pragma unroll
          for (int i = 0; i < 8; ++i) out[1][i / 4][i % 4] *= ends[0][i / 4];
          multiply_add_u(kept_mixing(2));
        }
        read_u(tile, u);
        if (decays[tile][0]->mild() && decays[tile][1]->mild()) {
          weigh(tile, &SsdDecays::growth, u);
          multiply_add_u(kept_mixing(tile));
          decay_rows();
        } else {
          decay_rows();
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            float values[2][4];
            read_mixing<Shared>(shared.mixing + tile * Shared::kMixing, lane, values);
            multiply_add(out[tile][half], decayed<kPrecision>(values, *decays[tile][half], lane),
                         Right<kPrecision>(u[half]));
          }
        }
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int frame = tile * kSsdTile + 8 * r;
          if (first + frame + g >= chunk.frames) continue;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const float2 now = *reinterpret_cast<const float2*>(own_u + frame / 8 * 128 + (z_at ^ 8 * half));
            float2 values{fmaf(D[half], now.x, out[tile][half][2 * r]),
                          fmaf(D[half], now.y, out[tile][half][2 * r + 1])};
            if (gated) {
              const float2 z = *reinterpret_cast<const float2*>(own_z + frame / 8 * 128 + (z_at ^ 8 * half));
              values.x *= silu(z.x), values.y *= silu(z.y);
            }
            *reinterpret_cast<float2*>(y + (frame * s.y_stride + 8 * half)) = values;
          }
        }
      }
      if (!chunk.last && first + kSpan >= chunk.frames) break;  // the next state belongs to the next chunk
    }

    float decay[2] = {1, 1};  // over the tiles after this one
    Left<kPrecision> left[kTiles];
#pragma unroll
    for (int tile = kTiles - 1; tile >= 0; --tile) {
      float u[2][2][2], values[2][4];
      read_u(tile, u);
      weigh(tile, &SsdDecays::weight, u);
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i / 4][i % 4] = u[i % 2][i / 4][i / 2 % 2] * decay[i % 2];
      left[tile] = Left<kPrecision>(values);
      decay[0] *= ends[tile][0], decay[1] *= ends[tile][1];
    }
    __syncwarp();
    copy_next_own(first + kSpan);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        const auto right = kept_side<RightPair<kPrecision>>(shared.B_sides + (tile * kSteps + k) * kSide, lane);
        if (tile == 0)
#pragma unroll
          for (int i = 0; i < 8; ++i) state[2 * k + i / 4][i % 4] *= decay[i % 4 / 2];
        each_part<kPrecision>([&](int part) {
#pragma unroll
          for (int i = 0; i < 2; ++i) multiply_add_part(part, state[2 * k + i], left[tile], right.sides[i]);
        });
      }
  }

  if (kTrue && !chunk.last) return;
  store_states<kSteps>(
      kTrue ? s.table + size_t(chunk.state_out) * s.table_stride + size_t(channel) * size_t(s.d_state) : carry,
      s.d_state, lane, state);
  if (!kTrue && int(threadIdx.x) < heads)
    sums[index * size_t(all_heads) + size_t(first_head + int(threadIdx.x))] = elapsed;
}

}  // namespace coil::gpu
