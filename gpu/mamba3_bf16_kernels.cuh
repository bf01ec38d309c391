// The scan of Mamba-3 in bf16 for common sizes. gpu/mamba3_kernels.cuh has the equations and the kernels around it.
//
// A block processes two heads, which share the raw rows of B and C; a warp processes 16 channels of one of them. B and
// C are rotated for each head and stored as bf16 rows, which the tensor cores' operands are read from without further
// work. A span has 32 rows; all decays are relative to its start.
#pragma once

#include "gpu/load_matrices.cuh"
#include "gpu/mamba3_kernels.cuh"

namespace coil::gpu {

inline constexpr int kFastRows = 32, kFastHeads = 2;

// For the rows of a span of one head: the sum of the decays' exponents from its start; gamma + beta of the next frame;
// gamma; the former times the decay to the span's end; 2^sum.
struct alignas(16) SpanDecays {
  float sum[kFastRows], step[kFastRows], own[kFastRows], weight[kFastRows], decay[kFastRows];
};

// By one warp, a lane for each row.
__device__ inline void sum_span_decays(float exponent, float step, float gamma, int row, SpanDecays& to) {
  double s = exponent;
#pragma unroll
  for (int back = 1; back < kFastRows; back *= 2) {
    const double before = __shfl_up_sync(0xffffffffu, s, unsigned(back));
    if (row >= back) s += before;
  }
  const double end = __shfl_sync(0xffffffffu, s, kFastRows - 1);
  to.sum[row] = float(s), to.step[row] = step, to.own[row] = gamma;
  to.weight[row] = exp2_fast(float(end - s)) * step;
  to.decay[row] = exp2_fast(float(s));
}

// The shared memory of a block. Rows of bf16 have 8 more values, so that eight of them are in different banks.
template <int kStates, int kRank>
struct FastShared {
  static constexpr int kRaw = kStates + 4, kRow = kStates + 8, kFrames = kFastRows / kRank;  // floats; bf16; frames
  static constexpr int kRowWords = kRow / 2, kSide = 128;  // words of a row; of a product's left side
  int angles;
  bool with_output;

  struct Pieces {
    float *raw_B, *raw_C;    // [row][kRaw]
    uint32_t *B, *C;         // [head][row][kRowWords]
    uint32_t* mixing;        // [head]: C_0 B_0^T, C_1 B_1^T, C_1 B_0^T of tiles, as left sides
    float *B_bias, *C_bias;  // [head][rank][kStates]
    float2* turns;           // [head][frame][angles + 1]: cosine and sine
    uint32_t* angles;        // [head][angle]: after the last frame for which turns were computed
    SpanDecays* decays;      // [head]
  };
  template <class Take>
  __host__ __device__ constexpr void each_piece(Pieces& p, const Take& take) const {
    const int output = with_output ? 1 : 0;
    take(p.raw_B, kFastRows * kRaw);
    take(p.raw_C, output * kFastRows * kRaw);
    take(p.B, kFastHeads * kFastRows * kRowWords);
    take(p.C, output * kFastHeads * kFastRows * kRowWords);
    take(p.mixing, output * kFastHeads * 3 * kSide);
    take(p.B_bias, kFastHeads * kRank * kStates);
    take(p.C_bias, output * kFastHeads * kRank * kStates);
    take(p.turns, (kFastHeads * kFrames * (angles + 1) * 2 + 3) / 4 * 4);
    take(p.angles, (kFastHeads * angles + 3) / 4 * 4);
    take(p.decays, kFastHeads * int(sizeof(SpanDecays) / sizeof(float)));
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

// Four neighbouring states of a row with their bias.
__device__ inline float4 biased(const float* row, const float* bias) {
  return add(*reinterpret_cast<const float4*>(row), *reinterpret_cast<const float4*>(bias));
}
__device__ inline void turn_pair(float& a, float& b, const float2& turn) {
  const float x = a;
  a = x * turn.x - b * turn.y, b = x * turn.y + b * turn.x;
}
__device__ inline void store_bf16(const float4& v, uint32_t* to) {
  *reinterpret_cast<uint2*>(to) = {pack_bf16(v.x, v.y), pack_bf16(v.z, v.w)};
}

// The states 4 quad to 4 quad + 3 and those half of the states further, of one row: bias, rotation, bf16.
template <int kStates, bool kHalves>
__device__ void rotate_to_bf16(const float* raw, const float* bias, const float2 (&turn)[4], int quad, uint32_t* to) {
  constexpr int kHalf = kStates / 2;
  float4 a = biased(raw + 4 * quad, bias + 4 * quad), b = biased(raw + kHalf + 4 * quad, bias + kHalf + 4 * quad);
  if constexpr (kHalves) {
    turn_pair(a.x, b.x, turn[0]), turn_pair(a.y, b.y, turn[1]), turn_pair(a.z, b.z, turn[2]),
        turn_pair(a.w, b.w, turn[3]);
  } else {
    turn_pair(a.x, a.y, turn[0]), turn_pair(a.z, a.w, turn[1]), turn_pair(b.x, b.y, turn[2]),
        turn_pair(b.z, b.w, turn[3]);
  }
  store_bf16(a, to + 2 * quad), store_bf16(b, to + kHalf / 2 + 2 * quad);
}

// As mamba3_chunks, for two heads: block `heads / 2 * chunk + pair of heads`. Stages of a span:
//   1. rotate B and C for both heads; decays
//   2. start to copy B and C of the next span; products of C and B with the decays
//   3. angles of the next span
//   4. C h, the products with u, D u, gate; writes y (kTrue)
//   5. h for the next span
template <int kStates, int kRank, bool kTrue>
__global__ void __launch_bounds__(256, 2)
    mamba3_bf16_chunks(Mamba3Arguments m, float* carries, float* sums, const uint64_t* turns, const Chunk* chunks,
                       int chunk_frames) {
  using Shared = FastShared<kStates, kRank>;
  constexpr bool kHalves = kRank > 1;
  constexpr int kFrames = Shared::kFrames, kSteps = kStates / 16, kRow = Shared::kRowWords;
  const int pairs = m.heads / kFastHeads, first_head = int(blockIdx.x % unsigned(pairs)) * kFastHeads;
  const size_t index = blockIdx.x / unsigned(pairs);
  const Chunk chunk = chunks[index];
  if (!kTrue && chunk.last) return;
  const int warps = int(blockDim.x) / 32 / kFastHeads;
  const int warp = __shfl_sync(0xffffffffu, int(threadIdx.x) / 32, 0), mine = warp / warps, part = warp % warps;
  const int lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int head = first_head + mine, group = first_head / (m.heads / m.groups), inner = m.heads * m.headdim,
            channel = head * m.headdim + 16 * part;
  const size_t row = index * size_t(chunk_frames);
  const auto shared = Shared{m.angles, kTrue}.at(dynamic_shared());
  uint32_t *own_B = shared.B + mine * kFastRows * kRow, *own_C = shared.C + mine * kFastRows * kRow;
  uint32_t* own_mixing = shared.mixing + mine * 3 * Shared::kSide;
  float2* own_turns = shared.turns + mine * kFrames * (m.angles + 1);
  uint32_t* own_angles = shared.angles + mine * m.angles;
  SpanDecays& decays = shared.decays[mine];
  // Where a lane reads rows of operands: of left sides and transposed right sides, and of right sides.
  const int left_at = ((lane / 8 & 1) * 8 + lane % 8) * kRow + lane / 16 * 4,
            right_at = (lane / 16 * 8 + lane % 8) * kRow + (lane / 8 & 1) * 4;

  for (int i = int(threadIdx.x); i < kFastHeads * kRank * kStates; i += int(blockDim.x)) {
    shared.B_bias[i] = m.B_bias[size_t(first_head) * kRank * kStates + size_t(i)];
    if (kTrue) shared.C_bias[i] = m.C_bias[size_t(first_head) * kRank * kStates + size_t(i)];
  }
  for (int i = int(threadIdx.x); i < kFastHeads * m.angles; i += int(blockDim.x))
    shared.angles[i] = upper_half(turns[(index * size_t(m.heads) + size_t(first_head)) * size_t(m.angles) + size_t(i)]);
  __syncthreads();

  const auto copy_next = [&](int first) {
    if (first < chunk.frames) {
      constexpr int kVectors = kStates / 4;
      const int left = chunk.frames - first, rank_stride = m.groups * kStates;
      const size_t at = (row + size_t(first)) * size_t(m.bc_stride) + size_t(group * kStates);
      const float *B = m.B + at, *C = m.C + at;
#pragma unroll 2
      for (unsigned i = threadIdx.x; i < unsigned(kFastRows * kVectors); i += blockDim.x) {
        const int r = int(i / kVectors), n = int(i % kVectors) * 4;
        const int from = min(r / kRank, left - 1) * m.bc_stride + r % kRank * rank_stride + n;
        copy_async(B + from, shared.raw_B + r * Shared::kRaw + n);
        if (kTrue) copy_async(C + from, shared.raw_C + r * Shared::kRaw + n);
      }
    }
    end_copy_group();
  };

  float next_exponent = 0, next_step = 0, next_gamma = 0;  // of the first warp of each head; a lane for each row
  const auto load_decays = [&](int first) {
    next_exponent = next_step = next_gamma = 0;
    const int frame = first + lane / kRank;
    if (part > 0 || frame >= chunk.frames) return;
    const size_t at = (row + size_t(frame)) * size_t(m.heads) + size_t(head);
    next_gamma = m.gamma[at];
    next_step = next_gamma + (frame + 1 < chunk.left ? m.beta[at + size_t(m.heads)] : 0.0f);
    if (lane % kRank == 0) next_exponent = m.decay[at];
  };

  // Brings a span's x, z and dt into the cache, a frame for each lane.
  const auto fetch = [&](int first) {
    if (lane >= kFrames || first + lane >= chunk.frames) return;
    const size_t at = row + size_t(first + lane);
    prefetch(m.x + at * size_t(m.x_stride) + channel);
    if (kTrue) prefetch(m.z + at * size_t(m.z_stride) + channel);
    if (part == 0) prefetch(m.dt + at * size_t(m.heads) + head);
  };

  // Four lanes for each angle, of which each has neighbouring frames.
  const auto turn_next = [&](int first) {
    if (first >= chunk.frames) return;
    constexpr int kEach = kFrames / 4;
    const int begin = lane % 4 * kEach, end = min(kFrames, chunk.frames - first);
    const double *dt = m.dt + (row + size_t(first)) * size_t(m.heads) + head,
                 *speed = m.speed + (row + size_t(first)) * size_t(m.angles);
    double own_dt[kEach];
#pragma unroll
    for (int i = 0; i < kEach; ++i) own_dt[i] = begin + i < end ? dt[(begin + i) * m.heads] : 0.0;
    for (int angle0 = part * 8; angle0 < m.angles; angle0 += warps * 8) {
      const int angle = min(angle0 + lane / 4, m.angles - 1);
      uint32_t until[kEach], sum = 0;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        if (begin + i < end) sum += short_turns(own_dt[i] * speed[(begin + i) * m.angles + angle]);
        until[i] = sum;
      }
      uint32_t through = sum;
#pragma unroll
      for (int back = 1; back < 4; back *= 2) {
        const uint32_t before = __shfl_up_sync(0xffffffffu, through, unsigned(back), 4);
        if (lane % 4 >= back) through += before;
      }
      const uint32_t start = own_angles[angle] + through - sum;
      __syncwarp();
      if (angle0 + lane / 4 >= m.angles) continue;
      if (lane % 4 == 3) own_angles[angle] = start + sum;
#pragma unroll
      for (int i = 0; i < kEach; ++i)
        own_turns[(begin + i) * (m.angles + 1) + angle] = cos_sin<Precision::bf16>(start + until[i]);
    }
  };

  copy_next(0);
  load_decays(0);
  turn_next(0);
  float state[2 * kSteps][4] = {};
  float* carry = carries + (index * size_t(inner) + size_t(channel)) * kStates;
  const auto each_state = [&](float* memory, const auto& f) {
#pragma unroll
    for (int j = 0; j < 2 * kSteps; ++j)
#pragma unroll
      for (int r = 0; r < 2; ++r)
        f(*reinterpret_cast<float2*>(memory + (g + 8 * r) * kStates + 8 * j + 2 * t), state[j][2 * r],
          state[j][2 * r + 1]);
  };
  if constexpr (kTrue) each_state(carry, [](const float2& v, float& a, float& b) { a = v.x, b = v.y; });
  const float D = kTrue ? m.D[head] : 0.0f;
  float up[2][2] = {{1, 1}, {1, 1}};  // mimo_x of a lane's rows 2 t + i, and its channels g + 8 half
  if constexpr (kRank > 1)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      up[i / 2][i % 2] = m.mimo_x[(head * kRank + (2 * t + i % 2) % kRank) * m.headdim + 16 * part + g + i / 2 * 8];
  float elapsed = 0;

  for (int first = 0; first < chunk.frames; first += kFrames) {
    wait_for_copies();
    __syncthreads();  // B and C are there, and no thread reads the last span's operands any more
    fetch(first + kFrames);
    // x of the lane's rows 8 step + 2 t + i and its channels g + 8 half, in tiles: [tile][half][step][i]. Loaded early
    // because of the latency.
    float u[2][2][2][2];
    const int last = chunk.frames - first - 1;
    const float* x_span = m.x + (row + size_t(first)) * size_t(m.x_stride) + channel;
#pragma unroll
    for (int i = 0; i < 16; ++i) {
      const int tile = i / 8, half = i / 4 % 2, step = i / 2 % 2;
      if (kRank > 1 && i % 2 == 1) {  // the same frame
        u[tile][half][step][1] = u[tile][half][step][0];
        continue;
      }
      const int frame = min((tile * 16 + step * 8 + 2 * t + i % 2) / kRank, last);
      u[tile][half][step][i % 2] = x_span[frame * m.x_stride + g + 8 * half];
    }
#pragma unroll 1
    for (unsigned i = threadIdx.x; i < unsigned(kFastRows * kStates / 8); i += blockDim.x) {
      const int r = int(i / (kStates / 8)), quad = int(i % (kStates / 8)), rank = r % kRank;
#pragma unroll
      for (int h = 0; h < kFastHeads; ++h) {
        const float2* at = shared.turns + (h * kFrames + r / kRank) * (m.angles + 1);
        float2 turn[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const int pair = kHalves ? 4 * quad + k : 2 * quad + k % 2 + k / 2 * (kStates / 4);
          turn[k] = pair < m.angles ? at[pair] : float2{1, 0};
        }
        const int bias = (h * kRank + rank) * kStates, to = (h * kFastRows + r) * kRow;
        rotate_to_bf16<kStates, kHalves>(shared.raw_B + r * Shared::kRaw, shared.B_bias + bias, turn, quad,
                                         shared.B + to);
        if (kTrue)
          rotate_to_bf16<kStates, kHalves>(shared.raw_C + r * Shared::kRaw, shared.C_bias + bias, turn, quad,
                                           shared.C + to);
      }
    }
    if (part == 0) sum_span_decays(next_exponent, next_step, next_gamma, lane, decays);
    __syncthreads();
    copy_next(first + kFrames);
    if constexpr (kTrue)
      for (int block = part; block < 3; block += warps) {
        const int now = block > 0 ? 16 : 0, then = block == 1 ? 16 : 0;
        float products[2][4] = {};
#pragma unroll
        for (int k = 0; k < kSteps; ++k) {
          uint32_t left[4], right[4];
          load_matrices(left, own_C + now * kRow + left_at + 8 * k);
          load_matrices(right, own_B + then * kRow + right_at + 8 * k);
#pragma unroll
          for (int half = 0; half < 2; ++half)
            multiply_add_bf16(products[half], {{left[0], left[1], left[2], left[3]}}, right[2 * half],
                              right[2 * half + 1]);
        }
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          const int n = now + g + i % 4 / 2 * 8, o = then + i / 4 * 8 + 2 * t + i % 2;
          const float weight = o / kRank == n / kRank ? decays.own[o]
                               : o < n                ? exp2_fast(decays.sum[n] - decays.sum[o]) * decays.step[o]
                                                      : 0.0f;
          products[i / 4][i % 4] *= weight;
        }
        const auto &p = products[0], &q = products[1];
        reinterpret_cast<uint4*>(own_mixing + block * Shared::kSide)[lane] = {
            pack_bf16(p[0], p[1]), pack_bf16(p[2], p[3]), pack_bf16(q[0], q[1]), pack_bf16(q[2], q[3])};
      }
    __syncthreads();
    load_decays(first + kFrames);
    turn_next(first + kFrames);
    elapsed += decays.sum[kFastRows - 1];
    if constexpr (kRank > 1)
#pragma unroll
      for (int i = 0; i < 16; ++i) u[i / 8][i / 4 % 2][i / 2 % 2][i % 2] *= up[i / 4 % 2][i % 2];

    if constexpr (kTrue) {
      float out[2][2][4] = {};
      const float* z_span = m.z + (row + size_t(first)) * size_t(m.z_stride) + channel;
      float* y_span = m.y + (row + size_t(first)) * size_t(inner) + channel;
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        const auto &h0 = state[2 * k], &h1 = state[2 * k + 1];
        const uint32_t right[4] = {pack_bf16(h0[0], h0[1]), pack_bf16(h1[0], h1[1]), pack_bf16(h0[2], h0[3]),
                                   pack_bf16(h1[2], h1[3])};
#pragma unroll
        for (int tile = 0; tile < 2; ++tile) {
          uint32_t left[4];
          load_matrices(left, own_C + tile * 16 * kRow + left_at + 8 * k);
#pragma unroll
          for (int half = 0; half < 2; ++half)
            multiply_add_bf16(out[tile][half], {{left[0], left[1], left[2], left[3]}}, right[2 * half],
                              right[2 * half + 1]);
        }
      }
#pragma unroll
      for (int i = 0; i < 16; ++i) out[i / 8][i / 4 % 2][i % 4] *= decays.decay[i / 8 * 16 + g + i % 4 / 2 * 8];
#pragma unroll
      for (int block = 0; block < 3; ++block) {
        const uint4 left = reinterpret_cast<const uint4*>(own_mixing + block * Shared::kSide)[lane];
        const int now = block > 0, then = block == 1;
#pragma unroll
        for (int half = 0; half < 2; ++half)
          multiply_add_bf16(out[now][half], {{left.x, left.y, left.z, left.w}},
                            pack_bf16(u[then][half][0][0], u[then][half][0][1]),
                            pack_bf16(u[then][half][1][0], u[then][half][1][1]));
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int tile = i / 4, r = i / 2 % 2, half = i % 2, at = tile * 16 + g + 8 * r, c = 8 * half + 2 * t,
                  frame = min(at / kRank, last);
        const float2 x = *reinterpret_cast<const float2*>(x_span + frame * m.x_stride + c),
                     z = *reinterpret_cast<const float2*>(z_span + frame * m.z_stride + c);
        float2 y{out[tile][half][2 * r], out[tile][half][2 * r + 1]};
        if constexpr (kRank == 1) {
          y = {fmaf(D, x.x, y.x) * silu(z.x), fmaf(D, x.y, y.y) * silu(z.y)};
        } else {
          const int weights = (head * kRank + g % kRank) * m.headdim + 16 * part + 8 * half + 2 * t;
          const auto weight = [&](const float* of) { return *reinterpret_cast<const float2*>(of + weights); };
          const float2 in = weight(m.mimo_x), by = weight(m.mimo_z), to = weight(m.mimo_o);
          y = {fmaf(D * x.x, in.x, y.x) * silu(z.x * by.x) * to.x, fmaf(D * x.y, in.y, y.y) * silu(z.y * by.y) * to.y};
#pragma unroll
          for (int other = 4; other < 4 * kRank; other *= 2) {
            y.x += __shfl_xor_sync(0xffffffffu, y.x, other);
            y.y += __shfl_xor_sync(0xffffffffu, y.y, other);
          }
        }
        if (g % kRank == 0 && at / kRank <= last) *reinterpret_cast<float2*>(y_span + frame * inner + c) = y;
      }
      if (!chunk.last && last < kFrames) break;  // the next state belongs to the next chunk
    }

    const float decay = decays.decay[kFastRows - 1];
    uint32_t left[2][4];
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int tile = i / 4, step = i / 2 % 2, half = i % 2;
      const float2 weight = *reinterpret_cast<const float2*>(decays.weight + tile * 16 + step * 8 + 2 * t);
      left[tile][2 * step + half] = pack_bf16(u[tile][half][step][0] * weight.x, u[tile][half][step][1] * weight.y);
    }
#pragma unroll
    for (int j = 0; j < 8 * kSteps; ++j) state[j / 4][j % 4] *= decay;
#pragma unroll
    for (int k = 0; k < kSteps; ++k)
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        uint32_t right[4];
        load_matrices_transposed(right, own_B + tile * 16 * kRow + left_at + 8 * k);
#pragma unroll
        for (int n = 0; n < 2; ++n)
          multiply_add_bf16(state[2 * k + n], {{left[tile][0], left[tile][1], left[tile][2], left[tile][3]}},
                            right[2 * n], right[2 * n + 1]);
      }
  }

  if (kTrue && !chunk.last) return;
  float* after = m.table + size_t(chunk.state_out) * m.table_stride + m.ssm_at + size_t(channel) * kStates;
  each_state(kTrue ? after : carry, [](float2& v, float a, float b) { v = {a, b}; });
  if (!kTrue && part == 0 && lane == 0) sums[index * size_t(m.heads) + size_t(head)] = elapsed;
}

}  // namespace coil::gpu
