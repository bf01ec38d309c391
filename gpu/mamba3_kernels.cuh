// The kernels of Mamba-3's recurrence. Source: Lahoti et al. 2026 (Mamba-3).
//
// The trapezoidal rule takes every input twice, in its own frame and in the next one. The scan runs over the state
// after the second time, g_t = h_t + beta_{t+1} k_t v_t:
//   g_t = a_t g_{t-1} + (gamma_t + beta_{t+1}) k_t v_t
//   y_t = q_t (a_t g_{t-1}) + gamma_t (q_t k_t) v_t + D v_t
// This is SSD (gpu/ssd_kernels.cuh), whose matrix form, layouts and stages are used here, but with another weight on
// the diagonal. After the last frame of a segment beta is 0, so that the state is h; the first frame of a segment adds
// the input of the frame before.
//
// A frame has `rank` inputs and outputs. A tile of 16 rows holds the (frame, rank) pairs of 16 / rank frames; the last
// rows may be unused. Rows of one frame see each other's inputs. Every head rotates B and C by its own angles, so a
// block processes one head.
//
// Angles are sums over time in units of 2^-64 of a turn, whose overflow is a whole turn: the result does not depend on
// how time is cut.
#pragma once

#include "gpu/mamba3.h"
#include "gpu/ssd_kernels.cuh"

namespace coil::gpu {

// ---- angles

struct Turns {
  uint64_t value;
};
__device__ inline Turns product(Turns, Turns) { return {0}; }
__device__ inline Turns one(Turns) { return {0}; }
__device__ inline Turns joined(Turns, Turns a, Turns b) { return {a.value + b.value}; }

// `turns` modulo 1
__device__ inline uint64_t fixed_turns(double turns) {
  return uint64_t(__double2ll_rn((turns - rint(turns)) * 0x1p64));
}

struct NoFactor {
  using Value = Turns;
  __device__ Turns operator()(int, int) const { return {0}; }
};

// Starts from the angles in the table, which are the sums of two floats.
template <>
struct JoinBuffers<Turns> {
  int states;
  Turns* carry;
  const float* table;  // the first float of each angle
  size_t table_stride, rest_at;

  __device__ Turns initial(int row, int state) const {
    const float* angle = table + size_t(row) * table_stride + size_t(state);
    return {fixed_turns(double(angle[0]) + double(angle[rest_at]))};
  }
};

// The turns of each chunk. Block `heads * chunk + head`; each warp takes 32 angles of its share of the frames. totals:
// a second place for them, because the join replaces the first one by the angles at the chunks' starts.
inline constexpr int kTurnThreads = 1024;  // at most
inline __global__ void __launch_bounds__(kTurnThreads)
    sum_turns(Mamba3Arguments m, uint64_t* turns, uint64_t* totals, const Chunk* chunks, int chunk_frames) {
  uint64_t* sums = reinterpret_cast<uint64_t*>(dynamic_shared());  // one for each thread
  const int head = int(blockIdx.x % unsigned(m.heads)), lane = int(threadIdx.x) % 32, warp = int(threadIdx.x) / 32;
  const size_t chunk = blockIdx.x / unsigned(m.heads), row = chunk * size_t(chunk_frames);
  const int frames = chunks[chunk].frames;
  const double* dt = m.dt + row * size_t(m.heads) + head;
  for (int first = 0; first < m.angles; first += 32) {
    const int angle = min(first + lane, m.angles - 1);
    const double* speed = m.speed + row * size_t(m.angles) + angle;
    uint64_t sum = 0;
#pragma unroll 4
    for (int t = warp; t < frames; t += int(blockDim.x) / 32) sum += fixed_turns(dt[t * m.heads] * speed[t * m.angles]);
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp == 0 && first + lane < m.angles) {
      for (int other = 32; other < int(blockDim.x); other += 32) sum += sums[other + lane];
      const size_t at = (chunk * size_t(m.heads) + size_t(head)) * size_t(m.angles) + size_t(angle);
      turns[at] = totals[at] = sum;
    }
    __syncthreads();
  }
}

// The two states that an angle rotates, and one whose states do not rotate (second < 0: there is no second one).
struct StatePair {
  int first, second;
  __device__ StatePair(const Mamba3Arguments& m, int pair) {
    const int half = m.d_state / 2;
    first = !m.halves ? 2 * pair : pair < half ? pair : m.d_state - 1;
    second = pair >= half ? -1 : m.halves ? half + pair : 2 * pair + 1;
  }
};

// The upper half of an angle, rounded: in units of 2^-32 of a turn.
__device__ inline uint32_t upper_half(uint64_t turns) { return uint32_t((turns + (uint64_t(1) << 31)) >> 32); }

// `turns` modulo 1 in units of 2^-32
__device__ inline uint32_t short_turns(double turns) {
  return uint32_t(__double2int_rn((turns - rint(turns)) * 0x1p32));
}

// cosine and sine of an angle in units of 2^-32 of a turn
template <Precision kPrecision>
__device__ float2 cos_sin(uint32_t turns) {
  const float half_turns = float(int32_t(turns)) * 0x1p-31f;
  float sine, cosine;
  if constexpr (kPrecision == Precision::float32)
    sincospif(half_turns, &sine, &cosine);
  else
    sincos_fast(half_turns * 3.14159265f, sine, cosine);
  return {cosine, sine};
}

// ---- before and after a segment

// Adds the input of the frame before the segment to the states in the table. Block `parts * signal + part`.
inline __global__ void __launch_bounds__(kElementThreads)
    take_frame_before(Mamba3Arguments m, const Signal* signals, int chunk_frames, int parts) {
  const Signal signal = signals[blockIdx.x / unsigned(parts)];
  float* table = m.table + size_t(signal.state_in) * m.table_stride;
  const size_t row = size_t(signal.first_chunk) * size_t(chunk_frames), states = size_t(m.d_state);
  const size_t count = size_t(m.heads * m.headdim) * states;
  for (size_t i = size_t(blockIdx.x % unsigned(parts)) * blockDim.x + threadIdx.x; i < count;
       i += size_t(parts) * blockDim.x) {
    const int n = int(i % states), channel = int(i / states), head = channel / m.headdim, p = channel % m.headdim;
    float sum = 0;
    for (int r = 0; r < m.rank; ++r) {
      const float up = m.mimo_x ? m.mimo_x[(head * m.rank + r) * m.headdim + p] : 1.0f;
      sum = fmaf(table[m.k_at + size_t(r * m.heads + head) * states + size_t(n)], up, sum);
    }
    float& h = table[m.ssm_at + i];
    h = fmaf(m.beta[row * size_t(m.heads) + size_t(head)] * table[m.v_at + size_t(channel)], sum, h);
  }
}

// Writes the last frame's rotated B, its x and the angles after it. Block `heads * signal + head`. Shared memory: the
// angles.
inline __global__ void __launch_bounds__(kElementThreads)
    remember_frame(Mamba3Arguments m, const uint64_t* turns, const uint64_t* totals, const Signal* signals,
                   const Chunk* chunks, int chunk_frames) {
  const Signal signal = signals[blockIdx.x / unsigned(m.heads)];
  const int head = int(blockIdx.x % unsigned(m.heads)), group = head / (m.heads / m.groups);
  const size_t index = size_t(signal.first_chunk + signal.chunks - 1);
  const Chunk chunk = chunks[index];
  const size_t row = index * size_t(chunk_frames) + size_t(chunk.frames - 1);
  float* table = m.table + size_t(chunk.state_out) * m.table_stride;
  uint64_t* angles = reinterpret_cast<uint64_t*>(dynamic_shared());
  for (int i = int(threadIdx.x); i < m.angles; i += int(blockDim.x)) {
    const size_t at = size_t(head * m.angles + i);
    angles[i] = turns[index * size_t(m.heads * m.angles) + at] + totals[index * size_t(m.heads * m.angles) + at];
    const double turned = double(int64_t(angles[i])) * 0x1p-64;
    table[m.angle_at + at] = float(turned);
    table[m.rest_at + at] = float(turned - double(float(turned)));
  }
  __syncthreads();
  const int pairs = (m.d_state + 1) / 2;
  for (int i = int(threadIdx.x); i < m.rank * pairs; i += int(blockDim.x)) {
    const int r = i / pairs, pair = i % pairs;
    const StatePair at(m, pair);
    const float* B = m.B + row * size_t(m.bc_stride) + (r * m.groups + group) * m.d_state;
    const float* bias = m.B_bias + (head * m.rank + r) * m.d_state;
    float* k = table + m.k_at + size_t(r * m.heads + head) * size_t(m.d_state);
    const float a = B[at.first] + bias[at.first], b = at.second < 0 ? 0.0f : B[at.second] + bias[at.second];
    const float2 turn = pair < m.angles ? cos_sin<Precision::float32>(upper_half(angles[pair])) : float2{1, 0};
    k[at.first] = a * turn.x - b * turn.y;
    if (at.second >= 0) k[at.second] = a * turn.y + b * turn.x;
  }
  for (int p = int(threadIdx.x); p < m.headdim; p += int(blockDim.x))
    table[m.v_at + size_t(head * m.headdim + p)] = m.x[row * size_t(m.x_stride) + size_t(head * m.headdim + p)];
}

// ---- the scan

// For the rows of a tile: sums of the decay's exponents from the start of the tile as two floats; gamma + beta of the
// next frame, here called step; step times the decay to the tile's end; 2^sum; 2^-sum step; gamma / step.
struct alignas(16) Mamba3Decays {
  float high[kSsdTile], low[kSsdTile], step[kSsdTile], weight[kSsdTile], decay[kSsdTile], growth[kSsdTile],
      own[kSsdTile];
  __device__ float end() const { return high[kSsdTile - 1]; }
  __device__ bool mild() const { return end() > -32; }  // 2^-sum must leave headroom for large inputs
};

// Computes them for a tile by 16 lanes, in float64: a tile may decay strongly.
__device__ inline void sum_mamba3_decays(float exponent, float step, float gamma, int row, Mamba3Decays* to) {
  double s = exponent;
#pragma unroll
  for (int back = 1; back < kSsdTile; back *= 2) {
    const double before = __shfl_up_sync(0xffffffffu, s, unsigned(back), kSsdTile);
    if (row >= back) s += before;
  }
  const double last = __shfl_sync(0xffffffffu, s, kSsdTile - 1, kSsdTile);
  if (!to) return;
  const float high = float(s), low = float(s - double(high));
  to->high[row] = high, to->low[row] = low, to->step[row] = step;
  to->weight[row] = exp2_fast(float(last - s)) * step;
  to->decay[row] = exp2_fast(high) * fmaf(low, kLn2, 1.0f);
  to->growth[row] = exp2_fast(-high) * fmaf(-low, kLn2, 1.0f) * step;
  to->own[row] = step > 0 ? gamma / step : 0.0f;
}

// silu; in float32 without its approximations, because later layers' angles sum up their bias.
template <Precision kPrecision>
__device__ float gate_of(float z) {
  return kPrecision == Precision::float32 ? z / (1.0f + expf(-z)) : silu(z);
}

// The shared memory of a block.
template <Precision kPrecision, int kStates, int kTiles>
struct Mamba3Shared {
  using Base = SsdShared<kPrecision, kStates, kTiles>;
  static constexpr int kSpan = Base::kSpan;
  int warps, rank, angles;
  bool with_output, with_gate, with_up;  // with_up: inputs have weights

  __host__ __device__ static constexpr int aligned(int floats) { return (floats + 3) / 4 * 4; }
  __host__ __device__ constexpr int span_frames() const { return kTiles * (kSsdTile / rank); }

  struct Pieces {
    typename Base::Pieces ssd;  // without its decays
    float *B_bias, *C_bias;     // [rank][kStates]
    float* up;                  // mimo_x of each warp's channels, as a tile of u
    float2* turns;              // [frame][angles + 1]: cosine and sine
    uint32_t* angles;           // after the last frame for which turns were computed
    Mamba3Decays* decays;       // [tile]
    unsigned* rows;             // [row]: 256 times its frame plus its rank
  };

  // Calls take(pointer, number of floats) for every piece in order.
  template <class Take>
  __host__ __device__ constexpr void each_piece(Pieces& p, const Take& take) const {
    const int sides = kTiles * Base::kSteps * Base::kSide, output = with_output ? 1 : 0;
    take(p.ssd.B, kSpan * Base::kRowB);
    take(p.ssd.C, output * kSpan * Base::kRowC);
    take(p.ssd.B_sides, sides);
    take(p.ssd.C_sides, output * sides);
    take(p.ssd.mixing, output * Base::kMixings * Base::kMixing);
    take(p.ssd.mixing_sides, output * Base::kMixings * Base::kSide);
    take(p.ssd.u, warps * Base::kOwn);
    take(p.ssd.z, with_gate ? warps * Base::kOwn : 0);
    take(p.B_bias, rank * kStates);
    take(p.C_bias, output * rank * kStates);
    take(p.up, with_up ? warps * 256 : 0);
    take(p.turns, aligned(2 * span_frames() * (angles + 1)));
    take(p.angles, aligned(angles));
    take(p.decays, kTiles * int(sizeof(Mamba3Decays) / sizeof(float)));
    take(p.rows, kSpan);
  }
  __host__ __device__ constexpr size_t floats() const {
    size_t sum = 0;
    Pieces p{};
    each_piece(p, [&](auto&, int floats) { sum += size_t(floats); });
    return sum;
  }
  __device__ Pieces at(float* memory) const {
    Pieces p{};
    each_piece(p, [&](auto& piece, int floats) {
      piece = reinterpret_cast<std::remove_reference_t<decltype(piece)>>(memory);
      memory += floats;
    });
    return p;
  }
};

// All threads start to copy a span's rows of B, and of C if wanted. Frames beyond `frames` repeat the last one; their
// weight is 0.
template <int kStates, class Shared, bool kWithC>
__device__ void copy_rows(const Mamba3Arguments& m, const float* B, const float* C, int frames, const unsigned* rows,
                          float* to_B, float* to_C) {
  const int rank_stride = m.groups * m.d_state;
  const auto source = [&](unsigned row) {
    return min(int(rows[row] >> 8), frames - 1) * m.bc_stride + int(rows[row] & 255) * rank_stride;
  };
  if (on_vectors(B, m.bc_stride, m.d_state) && on_vectors(C, m.bc_stride)) {
    constexpr unsigned kVectors = kStates / 4;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < Shared::kSpan * kVectors; i += blockDim.x) {
      const unsigned row = i / kVectors, n = i % kVectors * 4;
      if (int(n) >= m.d_state) continue;
      const int from = source(row) + int(n);
      copy_async(B + from, to_B + row * Shared::kRowB + n);
      if (kWithC) copy_async(C + from, to_C + row * Shared::kRowC + n);
    }
  } else {
#pragma unroll 1
    for (unsigned i = threadIdx.x; i < unsigned(Shared::kSpan * kStates); i += blockDim.x) {
      const unsigned row = i / kStates, n = i % kStates;
      if (int(n) >= m.d_state) continue;
      to_B[row * Shared::kRowB + n] = B[source(row) + int(n)];
      if (kWithC) to_C[row * Shared::kRowC + n] = C[source(row) + int(n)];
    }
  }
}

// Where a frame's channels are among a warp's own values; `channel` < 8, the other 8 are at this place ^ 8.
template <class Shared>
__device__ int own_place(int frame, int channel) {
  return frame / 8 * 128 + Shared::own_at(frame % 8, channel);
}

// The same for the frames of a warp's channels of x or z; channels from `channels` on are 0.
template <class Shared>
__device__ void copy_channels(const float* from, int stride, int channels, int span_frames, int frames, float* to,
                              int lane) {
  if (channels >= 16 && on_vectors(from, stride)) {
    const int at = Shared::own_at(lane / 4, lane % 2 * 4) ^ lane % 4 / 2 * 8;
#pragma unroll
    for (int i = 0; i < Shared::kSpan / 8; ++i)
      if (8 * i < span_frames)
        copy_async(from + min(8 * i + lane / 4, frames - 1) * stride + lane % 4 * 4, to + 128 * i + at);
  } else {
#pragma unroll 1
    for (int i = 0; i < Shared::kSpan / 2; ++i) {
      const int frame = 2 * i + lane / 16, c = lane % 16;
      to[own_place<Shared>(frame, c % 8) ^ c / 8 * 8] = c < channels ? from[min(frame, frames - 1) * stride + c] : 0.0f;
    }
  }
}

__device__ inline void rotate(float& a, float& b, float bias_a, float bias_b, const float2& turn) {
  const float x = a + bias_a, y = b + bias_b;
  a = x * turn.x - y * turn.y, b = x * turn.y + y * turn.x;
}

// The same for the row's states at `first` and `second`.
__device__ inline void rotate_pair(float* row, const float* bias, const StatePair& at, const float2& turn) {
  float none = 0;
  rotate(row[at.first], at.second < 0 ? none : row[at.second], bias[at.first], at.second < 0 ? 0.0f : bias[at.second],
         turn);
}

// Pairs `pair` and `pair` + 1 of neighbouring states, as one vector.
__device__ inline void rotate_neighbours(float* row, const float* bias, int pair, const float2 (&turn)[2]) {
  float4& x = reinterpret_cast<float4*>(row)[pair / 2];
  const float4 b = reinterpret_cast<const float4*>(bias)[pair / 2];
  float4 v = x;
  rotate(v.x, v.y, b.x, b.y, turn[0]), rotate(v.z, v.w, b.z, b.w, turn[1]);
  x = v;
}

// Adds the biases to a span's rows of B, and of C if wanted, and rotates them. turns: [frame][angles + 1].
template <int kStates, class Shared, bool kWithC>
__device__ void rotate_rows(const Mamba3Arguments& m, const unsigned* rows, const float2* turns, const float* B_bias,
                            const float* C_bias, float* B, float* C) {
  const auto turn_of = [&](unsigned place, int pair) {
    return pair < m.angles ? turns[int(place >> 8) * (m.angles + 1) + pair] : float2{1, 0};
  };
  if (!m.halves && m.d_state % 4 == 0) {
    constexpr unsigned kQuads = kStates / 4;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < Shared::kSpan * kQuads; i += blockDim.x) {
      const unsigned row = i / kQuads, place = rows[row], bias = (place & 255) * kStates;
      const int pair = int(i % kQuads) * 2;
      if (2 * pair >= m.d_state) continue;
      const float2 turn[2] = {turn_of(place, pair), turn_of(place, pair + 1)};
      rotate_neighbours(B + row * Shared::kRowB, B_bias + bias, pair, turn);
      if (kWithC) rotate_neighbours(C + row * Shared::kRowC, C_bias + bias, pair, turn);
    }
    return;
  }
  const int pairs = (m.d_state + 1) / 2;
#pragma unroll 4
  for (unsigned i = threadIdx.x; i < unsigned(Shared::kSpan * kStates / 2); i += blockDim.x) {
    const unsigned row = i / (kStates / 2), place = rows[row], bias = (place & 255) * kStates;
    const int pair = int(i % (kStates / 2));
    if (pair >= pairs) continue;
    const StatePair at(m, pair);
    const float2 turn = turn_of(place, pair);
    rotate_pair(B + row * Shared::kRowB, B_bias + bias, at, turn);
    if (kWithC) rotate_pair(C + row * Shared::kRowC, C_bias + bias, at, turn);
  }
}

// kTrue: from the chunk's true state, with outputs; else from zero, computing the chunk's end state and the sum of its
// decay's exponents. Block `(heads * chunk + head) * parts + part` processes 16 channels per warp, from 16 * warps *
// part on. carries: [chunk][channel][state]; sums: [chunk][head].
//
// Stages of a span; each warp runs the last three for its own channels:
//   1. rotate B and C; decays
//   2. products of B and C, and their sides, divided among the warps
//   3. start to copy B and C of the next span; its angles
//   4. C h (kTrue)
//   5. the products with u, D u, and the gate with the sum over the ranks; writes y (kTrue)
//   6. h for the next span
template <Precision kPrecision, int kStates, int kTiles, bool kTrue, int kMaxWarps, int kBlocks>
__global__ void __launch_bounds__(32 * kMaxWarps, kBlocks)
    mamba3_chunks(Mamba3Arguments m, float* carries, float* sums, const uint64_t* turns, const Chunk* chunks,
                  int chunk_frames, int parts) {
  using Shared = SsdShared<kPrecision, kStates, kTiles>;
  constexpr int kSpan = Shared::kSpan, kSteps = Shared::kSteps, kSide = Shared::kSide;
  const int head = int(blockIdx.x / unsigned(parts)) % m.heads, group = head / (m.heads / m.groups);
  const size_t index = blockIdx.x / unsigned(parts) / unsigned(m.heads);
  const Chunk chunk = chunks[index];
  if (!kTrue && chunk.last) return;
  const int warps = int(blockDim.x) / 32, warp = __shfl_sync(0xffffffffu, int(threadIdx.x) / 32, 0);
  const int lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int first_channel = (int(blockIdx.x % unsigned(parts)) * warps + warp) * 16,
            own_channels = min(m.headdim - first_channel, 16), channel = head * m.headdim + first_channel;
  const bool gated = kTrue && m.z, weighted = m.mimo_x != nullptr;
  const Mamba3Shared<kPrecision, kStates, kTiles> layout{warps, m.rank, m.angles, kTrue, gated, weighted};
  const auto pieces = layout.at(dynamic_shared());
  const auto& shared = pieces.ssd;
  float *own_u = shared.u + warp * Shared::kOwn, *own_z = shared.z + warp * Shared::kOwn, *up = pieces.up + warp * 256;
  const int u_at = Shared::own_at(2 * t, g), z_at = Shared::own_at(g, 2 * t);
  const size_t row = index * size_t(chunk_frames);
  const float D = kTrue ? m.D[head] : 0.0f;
  const int tile_frames = kSsdTile / m.rank, span_frames = layout.span_frames(), used = tile_frames * m.rank;

  for (int i = int(threadIdx.x); i < kSpan; i += int(blockDim.x)) {
    const int in_tile = i % kSsdTile, frame = min(in_tile / m.rank, tile_frames - 1);
    pieces.rows[i] = unsigned((i / kSsdTile * tile_frames + frame) * 256 + (in_tile < used ? in_tile % m.rank : 0));
  }
  for (int i = int(threadIdx.x); i < m.rank * kStates; i += int(blockDim.x)) {
    const int n = i % kStates, at = (head * m.rank + i / kStates) * m.d_state + n;
    pieces.B_bias[i] = n < m.d_state ? m.B_bias[at] : 0.0f;
    if (kTrue) pieces.C_bias[i] = n < m.d_state ? m.C_bias[at] : 0.0f;
  }
  for (int i = int(threadIdx.x); i < m.angles; i += int(blockDim.x))
    pieces.angles[i] = upper_half(turns[(index * size_t(m.heads) + size_t(head)) * size_t(m.angles) + size_t(i)]);
  if (weighted)
    for (int i = lane; i < 256; i += 32) {
      const int in_tile = i / 16, c = i % 16, r = in_tile < used ? in_tile % m.rank : 0;
      up[in_tile / 8 * 128 + (Shared::own_at(in_tile % 8, c % 8) ^ c / 8 * 8)] =
          c < own_channels ? m.mimo_x[(head * m.rank + r) * m.headdim + first_channel + c] : 0.0f;
    }
  if (m.d_state < kStates)  // missing states stay 0
    for (int i = int(threadIdx.x); i < kSpan * (Shared::kRowB + (kTrue ? Shared::kRowC : 0)); i += int(blockDim.x))
      shared.B[i] = 0;
  __syncthreads();

  // Which elements (r, step, i) of a tile's product with itself are of earlier frames, and which of the same frame.
  unsigned past = 0, same = 0;
  int out_row[2];  // of the rows g and g + 8: 256 times the frame in the tile plus the rank; -1: unused
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    out_row[r] = g + 8 * r < used ? int(pieces.rows[g + 8 * r]) : -1;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const unsigned now = pieces.rows[g + 8 * r] >> 8, then = pieces.rows[8 * (e / 2) + 2 * t + e % 2] >> 8;
      past |= unsigned(then < now) << (4 * r + e);
      same |= unsigned(then == now) << (4 * r + e);
    }
  }
  // Calls f(value, r, step, i, whether it is of the same frame) for those elements, and clears the others.
  const auto each_past = [&](float(&values)[2][4], const auto& f) {
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const int r = e / 4, step = e / 2 % 2, i = e % 2;
      float& value = values[step][r + 2 * i];
      if ((past | same) >> e & 1)
        f(value, r, step, i, (same >> e & 1) != 0);
      else
        value = 0;
    }
  };

  const auto copy_next_mixing = [&](int first) {
    if (first < chunk.frames) {
      const size_t at = (row + size_t(first)) * size_t(m.bc_stride) + size_t(group * m.d_state);
      copy_rows<kStates, Shared, kTrue>(m, m.B + at, m.C + at, chunk.frames - first, pieces.rows, shared.B, shared.C);
    }
    end_copy_group();
  };
  const auto copy_next_own = [&](int first) {
    if (first < chunk.frames) {
      const auto copy = [&](const float* from, int stride, float* to) {
        copy_channels<Shared>(from + (row + size_t(first)) * size_t(stride) + size_t(channel), stride, own_channels,
                              span_frames, chunk.frames - first, to, lane);
      };
      copy(m.x, m.x_stride, own_u);
      if (gated) copy(m.z, m.z_stride, own_z);
    }
    end_copy_group();
  };

  // The last warp sums the decays, half of it for each tile.
  float next_exponent = 0, next_step = 0, next_gamma = 0;
  const auto load_decays = [&](int first) {
    if (warp != warps - 1) return;
    const int tile = lane / kSsdTile, in_tile = lane % kSsdTile, frame = first + tile * tile_frames + in_tile / m.rank;
    next_exponent = next_step = next_gamma = 0;
    if (tile >= kTiles || in_tile >= used || frame >= chunk.frames) return;
    const size_t at = (row + size_t(frame)) * size_t(m.heads) + size_t(head);
    next_gamma = m.gamma[at];
    next_step = next_gamma + (frame + 1 < chunk.left ? m.beta[at + size_t(m.heads)] : 0.0f);
    if (in_tile % m.rank == 0) next_exponent = m.decay[at];
  };

  // Sums the angles of a span: four lanes for each angle, of which each has up to 8 neighbouring frames.
  const auto turn_next = [&](int first) {
    if (first >= chunk.frames) return;
    const int each = (span_frames + 3) / 4, begin = lane % 4 * each, end = min(span_frames, chunk.frames - first);
    const double *dt = m.dt + (row + size_t(first)) * size_t(m.heads) + head,
                 *speed = m.speed + (row + size_t(first)) * size_t(m.angles);
    for (int angle0 = warp * 8; angle0 < m.angles; angle0 += warps * 8) {
      const int angle = min(angle0 + lane / 4, m.angles - 1);
      uint32_t sums[8], sum = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int frame = begin + i;
        if (i < each && frame < end) sum += short_turns(dt[frame * m.heads] * speed[frame * m.angles + angle]);
        sums[i] = sum;
      }
      uint32_t through = sum;
#pragma unroll
      for (int back = 1; back < 4; back *= 2) {
        const uint32_t before = __shfl_up_sync(0xffffffffu, through, unsigned(back), 4);
        if (lane % 4 >= back) through += before;
      }
      const uint32_t start = pieces.angles[angle] + through - sum;
      __syncwarp();
      if (angle0 + lane / 4 >= m.angles) continue;
      if (lane % 4 == 3) pieces.angles[angle] = start + sum;
#pragma unroll
      for (int i = 0; i < 8; ++i)
        if (i < each && begin + i < span_frames)
          pieces.turns[(begin + i) * (m.angles + 1) + angle] = cos_sin<kPrecision>(start + sums[i]);
    }
  };

  copy_next_mixing(0);
  load_decays(0);
  turn_next(0);
  copy_next_own(0);

  float state[2 * kSteps][4] = {};
  float* carry = carries + (index * size_t(m.heads * m.headdim) + size_t(channel)) * size_t(m.d_state);
  if constexpr (kTrue) load_states<kSteps>(carry, m.d_state, lane, state, own_channels);
  float elapsed = 0;

  for (int first = 0; first < chunk.frames; first += span_frames) {
    wait_for_copy_groups<1>();  // B and C
    __syncthreads();            // all threads have copied, and no thread needs the last span's sides any more
    rotate_rows<kStates, Shared, kTrue>(m, pieces.rows, pieces.turns, pieces.B_bias, pieces.C_bias, shared.B, shared.C);
    if (warp == warps - 1)
      sum_mamba3_decays(next_exponent, next_step, next_gamma, lane % kSsdTile,
                        lane / kSsdTile < kTiles ? pieces.decays + lane / kSsdTile : nullptr);
    __syncthreads();
    // A tile's product with itself as a left side, without future frames.
    const auto mixing_side = [&](int block) {
      float values[2][4];
      read_mixing<Shared>(shared.mixing + block * Shared::kMixing, lane, values);
      if (block < kTiles)
        each_past(values, [&](float& value, int r, int, int, bool own) {
          if (own) value *= pieces.decays[block].own[g + 8 * r];
        });
      return Left<kPrecision>(values);
    };
    constexpr int kMixingWork = kTrue ? Shared::kMixings * Shared::kMixingParts : 0;
    constexpr bool kSidesAtOnce = Shared::kMixingParts == 1;  // a warp has all of the sums of a product
    if constexpr (kTrue)
      for (int work = warp; work < kMixingWork; work += warps) {
        const int block = work / Shared::kMixingParts, part = work % Shared::kMixingParts,
                  k = part * Shared::kPartSteps, now = block > 0, then = block == 1;
        mix_frames<kPrecision, Shared>(shared.B + then * kSsdTile * Shared::kRowB + 16 * k,
                                       shared.C + now * kSsdTile * Shared::kRowC + 16 * k,
                                       now == then ? shared.C_sides + (now * kSteps + k) * kSide : nullptr,
                                       shared.mixing + block * Shared::kMixing + 256 * part, lane);
        if constexpr (kSidesAtOnce) keep_side(mixing_side(block), shared.mixing_sides + block * kSide, lane);
      }
    for (int side = (warp + warps - kMixingWork % warps) % warps; side < kTiles * kSteps; side += warps) {
      const float* B = shared.B + side / kSteps * kSsdTile * Shared::kRowB + side % kSteps * 16;
      keep_side(right_of_states<kPrecision, Shared::kRowB>(B, lane), shared.B_sides + side * kSide, lane);
    }
    __syncthreads();
    for (int tile = 0; tile < kTiles; ++tile) elapsed += pieces.decays[tile].end();
    copy_next_mixing(first + span_frames);
    load_decays(first + span_frames);
    turn_next(first + span_frames);

    if constexpr (kTrue && !kSidesAtOnce)
      for (int block = warp; block < Shared::kMixings; block += warps)
        keep_side(mixing_side(block), shared.mixing_sides + block * kSide, lane);
    const auto kept_mixing = [&](int block) {
      return kept_side<Left<kPrecision>>(shared.mixing_sides + block * kSide, lane);
    };
    float out[kTiles][2][4] = {};  // initialised with C h
    if constexpr (kTrue) {
      constexpr int kChains = kTiles == 1 && kParts < kPrecision >> 1 ? 2 : 1;
      float products[kChains][kTiles][2][4] = {};
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
            multiply_add_part(part, products[part % kChains][i / 2][i % 2], left[i / 2], right[i % 2]);
        });
      }
#pragma unroll
      for (int i = 0; i < 8 * kTiles; ++i)
        for (int chain = 0; chain < kChains; ++chain)
          out[i / 8][i / 4 % 2][i % 4] += products[chain][i / 8][i / 4 % 2][i % 4];
    }

    wait_for_copy_groups<1>();  // x and z
    if constexpr (kTrue && !kSidesAtOnce)
      __syncthreads();
    else
      __syncwarp();
    // [half][step][i]. u is read again for every product: registers limit the number of warps on a multiprocessor.
    const auto read_u = [&](int tile, float(&u)[2][2][2]) {
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int in_tile = i / 2 * 128 + i % 2 * 32,
                  at = m.rank == 1
                           ? u_at + in_tile + tile * 256
                           : own_place<Shared>(int(pieces.rows[tile * kSsdTile + i / 2 * 8 + 2 * t + i % 2] >> 8), g);
#pragma unroll
        for (int half = 0; half < 2; ++half)
          u[half][i / 2][i % 2] = own_u[at ^ 8 * half] * (weighted ? up[(u_at ^ 8 * half) + in_tile] : 1.0f);
      }
    };
    const auto weigh = [&](const float(&weights)[kSsdTile], float(&u)[2][2][2]) {
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        const float2 weight = *reinterpret_cast<const float2*>(weights + 8 * step + 2 * t);
#pragma unroll
        for (int half = 0; half < 2; ++half) u[half][step][0] *= weight.x, u[half][step][1] *= weight.y;
      }
    };

    if constexpr (kTrue) {
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const Mamba3Decays& decays = pieces.decays[tile];
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
          for (int i = 0; i < 8; ++i) out[tile][i / 4][i % 4] *= decays.decay[g + i % 4 / 2 * 8];
        };
        if (tile == 1) {
          const float end = pieces.decays[0].decay[kSsdTile - 1];
          read_u(0, u);
          weigh(pieces.decays[0].weight, u);
#pragma unroll
          for (int i = 0; i < 8; ++i) out[1][i / 4][i % 4] *= end;
          multiply_add_u(kept_mixing(2));
        }
        read_u(tile, u);
        if (decays.mild()) {
          weigh(decays.growth, u);
          multiply_add_u(kept_mixing(tile));
          decay_rows();
        } else {
          decay_rows();
          float values[2][4];
          read_mixing<Shared>(shared.mixing + tile * Shared::kMixing, lane, values);
          each_past(values, [&](float& value, int r, int step, int i, bool own) {
            const int now = g + 8 * r, then = 8 * step + 2 * t + i;
            value *= exp2_fast((decays.high[now] - decays.high[then]) + (decays.low[now] - decays.low[then])) *
                     decays.step[then] * (own ? decays.own[now] : 1.0f);
          });
          multiply_add_u(Left<kPrecision>(values));
        }
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int in_span = tile * tile_frames + max(out_row[r], 0) / 256, rank = max(out_row[r], 0) % 256;
          const bool inside = out_row[r] >= 0 && first + in_span < chunk.frames;
          const size_t frame = row + size_t(first + in_span);
          float* y = m.y + (gated ? frame : frame * size_t(m.rank) + size_t(rank)) * size_t(m.heads * m.headdim) +
                     size_t(channel);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            const int in_tile = (z_at ^ 8 * half) + r * 128,
                      at = m.rank == 1 ? in_tile + tile * 256 : own_place<Shared>(in_span, 2 * t) ^ 8 * half;
            const int c = 8 * half + 2 * t;
            float2 now = *reinterpret_cast<const float2*>(own_u + at);
            if (weighted) now.x *= up[in_tile], now.y *= up[in_tile + 1];
            float2 values{fmaf(D, now.x, out[tile][half][2 * r]), fmaf(D, now.y, out[tile][half][2 * r + 1])};
            if (gated) {
              float2 z = *reinterpret_cast<const float2*>(own_z + at);
              if (m.rank == 1) {
                values.x *= gate_of<kPrecision>(z.x), values.y *= gate_of<kPrecision>(z.y);
              } else {
                const int weights = (head * m.rank + rank) * m.headdim + first_channel + c;
                const auto gate = [&](float value, float gated_by, int i) {
                  if (c + i >= own_channels) return 0.0f;
                  return value * gate_of<kPrecision>(gated_by * m.mimo_z[weights + i]) * m.mimo_o[weights + i];
                };
                values = {gate(values.x, z.x, 0), gate(values.y, z.y, 1)};
                for (int other = 4; other < 4 * m.rank; other *= 2) {
                  values.x += __shfl_xor_sync(0xffffffffu, values.x, other);
                  values.y += __shfl_xor_sync(0xffffffffu, values.y, other);
                }
                if (rank > 0) continue;
              }
            }
            if (!inside) continue;
            if (m.headdim % 2 == 0) {
              if (c < own_channels) *reinterpret_cast<float2*>(y + c) = values;
            } else {
              if (c < own_channels) y[c] = values.x;
              if (c + 1 < own_channels) y[c + 1] = values.y;
            }
          }
        }
      }
      if (!chunk.last && first + span_frames >= chunk.frames) break;  // the next state belongs to the next chunk
    }

    float decay = 1;  // over the tiles after this one
    Left<kPrecision> left[kTiles];
#pragma unroll
    for (int tile = kTiles - 1; tile >= 0; --tile) {
      float u[2][2][2], values[2][4];
      read_u(tile, u);
      weigh(pieces.decays[tile].weight, u);
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i / 4][i % 4] = u[i % 2][i / 4][i / 2 % 2] * decay;
      left[tile] = Left<kPrecision>(values);
      decay *= pieces.decays[tile].decay[kSsdTile - 1];
    }
    __syncwarp();
    copy_next_own(first + span_frames);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        const auto right = kept_side<RightPair<kPrecision>>(shared.B_sides + (tile * kSteps + k) * kSide, lane);
        if (tile == 0)
#pragma unroll
          for (int i = 0; i < 8; ++i) state[2 * k + i / 4][i % 4] *= decay;
        each_part<kPrecision>([&](int part) {
#pragma unroll
          for (int i = 0; i < 2; ++i) multiply_add_part(part, state[2 * k + i], left[tile], right.sides[i]);
        });
      }
  }

  if (kTrue && !chunk.last) return;
  float* after = m.table + size_t(chunk.state_out) * m.table_stride + m.ssm_at;
  store_states<kSteps>(kTrue ? after + size_t(channel) * size_t(m.d_state) : carry, m.d_state, lane, state,
                       own_channels);
  if (!kTrue && threadIdx.x == 0 && blockIdx.x % unsigned(parts) == 0)
    sums[index * size_t(m.heads) + size_t(head)] = elapsed;
}

}  // namespace coil::gpu
