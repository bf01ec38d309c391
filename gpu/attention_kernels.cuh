// The kernels of attention over a window of frames. Source: Vaswani et al. 2017, eq. 1; computed tile by tile with a
// running maximum as in Dao et al. 2022 (FlashAttention), algorithm 1, so that no matrix of scores is stored.
//
// Frames are counted from the start of the segment. Earlier ones, whose keys and values are in the ring of the signal's
// state, are negative: frame -1 is the last one before the segment. Frame f of the stream is in slot f % window.
#pragma once

#include "gpu/elements.cuh"
#include "gpu/math.cuh"
#include "gpu/segment.h"
#include "gpu/tensor_cores.cuh"

namespace coil::gpu {

struct AttentionArguments {
  int heads, kv_heads, headdim, window;
  float scale, soft_cap;   // soft_cap 0: none
  const float* sinks;      // per head; null: none
  const float *q, *k, *v;  // [row][head][headdim], [row][KV head][headdim]
  float* y;                // as q
  float* table;            // the states of all signals
  size_t keys_at, values_at, position_at, table_stride;
};

// The number of frames that the signal has processed, as the CPU's kernels store it (ssm/kernels/kernels.h).
inline constexpr unsigned kLowFrames = 1 << 20;
__device__ inline uint64_t frames_before(const float* position) {
  return uint64_t(position[0]) * kLowFrames + uint64_t(position[1]);
}

inline constexpr int kAttentionWarps = 4, kQueries = 16 * kAttentionWarps, kKeys = 32;  // of a block; of a tile

// Heads of up to 16 kSteps values. Rows have 4 more floats, so that lanes use different banks.
template <int kSteps>
struct AttentionShared {
  static constexpr int kWidth = 16 * kSteps, kRow = kWidth + 4;
  static constexpr size_t kFloats = size_t(kQueries + 2 * kKeys) * kRow;
};

// Where the keys and values of a signal's frames are.
struct KeyRows {
  const AttentionArguments& a;
  int kv_head;
  ptrdiff_t first_row;  // of the segment's frame 0
  const float* state;
  int last_slot;  // slot after that of frame -1

  __device__ const float* at(const float* rows, size_t ring_at, int frame) const {
    if (frame >= 0)
      return rows + (size_t(first_row + frame) * size_t(a.kv_heads) + size_t(kv_head)) * size_t(a.headdim);
    const int slot = last_slot + frame, wrapped = slot < 0 ? slot + a.window : slot;
    return state + ring_at + (size_t(kv_head) * size_t(a.window) + size_t(wrapped)) * size_t(a.headdim);
  }
};

// Copies a tile of keys and values to shared memory; frames from `end` on and values from headdim on are 0.
template <class Shared>
__device__ void load_keys(const KeyRows& from, int first, int end, float* keys, float* values) {
  for (int i = int(threadIdx.x); i < kKeys * Shared::kWidth; i += int(blockDim.x)) {
    const int key = i / Shared::kWidth, n = i % Shared::kWidth;
    const bool inside = first + key < end && n < from.a.headdim;
    keys[key * Shared::kRow + n] = inside ? from.at(from.a.k, from.a.keys_at, first + key)[n] : 0.0f;
    values[key * Shared::kRow + n] = inside ? from.at(from.a.v, from.a.values_at, first + key)[n] : 0.0f;
  }
}

// A warp's 16 queries: their largest score so far, the lane's part of the sum of weights, and the weighted sum of
// values. A lane has the rows g and g + 8.
template <Precision kPrecision, int kSteps>
struct AttentionSums {
  static constexpr float kNothing = -1e30f;
  float largest[2], sum[2], out[2 * kSteps][4];

  // Adds 16 keys with these scores, sums of a product; excluded ones are kNothing.
  template <int kRow>
  __device__ void add(float (&scores)[2][4], const float* values, int lane) {
    const int g = lane / 4, t = lane % 4;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float most = largest[r];
#pragma unroll
      for (int i = 0; i < 4; ++i) most = fmaxf(most, scores[i / 2][2 * r + i % 2]);
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      const float kept = exp2_fast(kLog2E * (largest[r] - most));
      largest[r] = most, sum[r] *= kept;
#pragma unroll
      for (int n = 0; n < 2 * kSteps; ++n) out[n][2 * r] *= kept, out[n][2 * r + 1] *= kept;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& score = scores[i / 2][2 * r + i % 2];
        score = score == kNothing ? 0.0f : exp2_fast(kLog2E * (score - most));
        sum[r] += score;
      }
    }
    const Left<kPrecision> weights({{scores[0][0], scores[0][2], scores[0][1], scores[0][3]},
                                    {scores[1][0], scores[1][2], scores[1][1], scores[1][3]}});
#pragma unroll
    for (int n = 0; n < 2 * kSteps; ++n) {
      const float* column = values + 2 * t * kRow + 8 * n + g;
      multiply_add(out[n], weights,
                   Right<kPrecision>({{column[0], column[kRow]}, {column[8 * kRow], column[9 * kRow]}}));
    }
  }
};

// Block `(chunk * parts + part) * heads + head`: kQueries frames of one chunk and head, 16 for each warp.
template <Precision kPrecision, int kSteps>
__global__ void __launch_bounds__(32 * kAttentionWarps)
    attend(AttentionArguments a, const Chunk* chunks, int chunk_frames, int parts) {
  using Shared = AttentionShared<kSteps>;
  using Sums = AttentionSums<kPrecision, kSteps>;
  constexpr int kRow = Shared::kRow;
  const int head = int(blockIdx.x % unsigned(a.heads)), part = int(blockIdx.x / unsigned(a.heads)) % parts;
  const size_t index = blockIdx.x / unsigned(a.heads) / unsigned(parts);
  const Chunk chunk = chunks[index];
  if (part * kQueries >= chunk.frames) return;
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  float *queries = dynamic_shared(), *keys = queries + kQueries * kRow, *values = keys + kKeys * kRow;
  const size_t row = index * size_t(chunk_frames) + size_t(part * kQueries);
  const int rows = min(kQueries, chunk.frames - part * kQueries), first = chunk.before + part * kQueries;
  for (int i = int(threadIdx.x); i < kQueries * Shared::kWidth; i += int(blockDim.x)) {
    const int query = i / Shared::kWidth, n = i % Shared::kWidth;
    queries[query * kRow + n] =
        query < rows && n < a.headdim
            ? a.q[((row + size_t(query)) * size_t(a.heads) + size_t(head)) * size_t(a.headdim) + size_t(n)]
            : 0.0f;
  }
  const float* state = a.table + size_t(chunk.state_in) * a.table_stride;
  const uint64_t seen = frames_before(state + a.position_at);
  const int remembered = int(min(seen, uint64_t(a.window)));
  const KeyRows from{a, head / (a.heads / a.kv_heads), ptrdiff_t(index * size_t(chunk_frames)) - chunk.before, state,
                     int(seen % uint64_t(a.window))};

  Sums sums;
#pragma unroll
  for (int r = 0; r < 2; ++r)
    sums.largest[r] = a.sinks ? a.sinks[head] : Sums::kNothing, sums.sum[r] = a.sinks && t == 0 ? 1.0f : 0.0f;
#pragma unroll
  for (int n = 0; n < 2 * kSteps; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums.out[n][i] = 0;
  const int oldest = max(first - a.window + 1, -remembered), end = first + rows;
  for (int tile = oldest; tile < end; tile += kKeys) {
    __syncthreads();  // the queries are complete, and no thread reads the last tile any more
    load_keys<Shared>(from, tile, end, keys, values);
    __syncthreads();
#pragma unroll 1
    for (int key = 0; key < kKeys; key += 16) {
      float scores[2][4] = {};
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        const auto left = left_of_rows<kPrecision, kRow>(queries + 16 * warp * kRow + 16 * k, lane);
#pragma unroll
        for (int half = 0; half < 2; ++half)
          multiply_add(scores[half], left,
                       right_of_rows<kPrecision, kRow>(keys + (key + 8 * half) * kRow + 16 * k, lane));
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        float& score = scores[i / 4][i % 4];
        const int query = first + 16 * warp + g + i % 4 / 2 * 8, frame = tile + key + i / 4 * 8 + 2 * t + i % 2;
        score *= a.scale;
        if (a.soft_cap > 0) score = a.soft_cap * tanhf(score / a.soft_cap);
        if (frame > query || frame <= query - a.window || frame >= end) score = Sums::kNothing;
      }
      sums.template add<kRow>(scores, values + key * kRow, lane);
    }
  }

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = sums.sum[r];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const int query = 16 * warp + g + 8 * r;
    if (query >= rows) continue;
    float* y = a.y + ((row + size_t(query)) * size_t(a.heads) + size_t(head)) * size_t(a.headdim);
#pragma unroll
    for (int n = 0; n < 2 * kSteps; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        if (8 * n + 2 * t + i < a.headdim) y[8 * n + 2 * t + i] = sums.out[n][2 * r + i] / sum;
  }
}

// Writes the ring and the position after the segment. Block `parts * signal + part`.
__global__ void __launch_bounds__(kElementThreads)
    remember_keys(AttentionArguments a, const Signal* signals, const Chunk* chunks, int chunk_frames, int parts) {
  const Signal signal = signals[blockIdx.x / unsigned(parts)];
  const Chunk last = chunks[signal.first_chunk + signal.chunks - 1];
  const float* before = a.table + size_t(last.state_in) * a.table_stride;
  float* after = a.table + size_t(last.state_out) * a.table_stride;
  const int frames = last.before + last.frames, width = a.headdim;
  const uint64_t seen = frames_before(before + a.position_at), now = seen + uint64_t(frames);
  const int newest = int((now - 1) % uint64_t(a.window));  // the slot of the segment's last frame
  const size_t first_row = size_t(signal.first_chunk) * size_t(chunk_frames);
  const size_t count = size_t(a.kv_heads) * size_t(a.window) * size_t(width);
  for (size_t i = size_t(blockIdx.x % unsigned(parts)) * blockDim.x + threadIdx.x; i < count;
       i += size_t(parts) * blockDim.x) {
    const int slot = int(i / size_t(width) % size_t(a.window)), head = int(i / size_t(width) / size_t(a.window));
    const int back = newest >= slot ? newest - slot : newest - slot + a.window, frame = frames - 1 - back;
    const size_t at =
        ((first_row + size_t(max(frame, 0))) * size_t(a.kv_heads) + size_t(head)) * size_t(width) + i % size_t(width);
    after[a.keys_at + i] = frame >= 0 ? a.k[at] : before[a.keys_at + i];
    after[a.values_at + i] = frame >= 0 ? a.v[at] : before[a.values_at + i];
  }
  if (blockIdx.x % unsigned(parts) == 0 && threadIdx.x == 0) {
    after[a.position_at] = float(now / kLowFrames);
    after[a.position_at + 1] = float(now % kLowFrames);
  }
}

}  // namespace coil::gpu
