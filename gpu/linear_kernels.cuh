// The kernels of projections, and how their weights lie.
//
// `project` reads every row once: a block keeps its weights in shared memory, and each of its warps walks over tiles of rows, whose inputs it
// holds in registers while it makes output after output; the next tile is on its way meanwhile. Products are of 16-bit numbers, which the tensor
// cores multiply twice as fast as tf32. In float32 a number is the sum of two float16, once its row, or the matrix, has been scaled by the power
// of 2 that brings its largest into [2^14, 2^15): that loses 2^-23 of a number, and 2^-39 of the largest if the number is below 2^-17 of it.
// tf32 has the significand of a float16, and is the first of the two.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <vector>

#include "gpu/conv.cuh"
#include "gpu/elements.cuh"
#include "gpu/intrinsics.cuh"
#include "gpu/precision.h"

namespace coil::gpu {

struct LinearArguments {
  const void* weight;  // as the kernel wants it
  float weight_scale;  // what the weights of `project` are to be multiplied by
  const float* bias;   // null: none; for `project` 0 from d_out to the next multiple of 32
  int d_in, d_out;
  const float* in;
  int in_stride;
  float* out;
  int out_stride;
  size_t rows;
  bool accumulate, normalise;
  float eps;
};

// Outputs `first` to `first + conv.channels` that go on through a convolution, to conv.y; first is a multiple of 4. `out` gets them only where they
// are among the last inputs of a signal. No channels: none.
struct Convolved {
  Conv conv;
  int first;
  const Chunk* chunks;
  int chunk_frames;
};

inline __host__ __device__ bool on_vectors(const float* rows, int stride, int width) {
  return width % 4 == 0 && stride % 4 == 0 && reinterpret_cast<uintptr_t>(rows) % 16 == 0;
}

// ---- on the tensor cores

// What a warp of `project` does at once with up to 16 kSteps inputs: its rows fill half of its registers.
template <Precision kPrecision, int kSteps>
struct ProjectShape {
  static constexpr int kParts = kPrecision == Precision::float32 ? 2 : 1;  // 16-bit numbers that make one
  static constexpr int kInputs = 16 * kSteps;
  static constexpr int kRowTiles = kSteps > 4 ? 1 : 2, kColumnTiles = 4 / kRowTiles;  // four sums, so that no product waits for the last one
  static constexpr int kRows = 16 * kRowTiles, kOutputs = 8 * kColumnTiles;
  static constexpr int kVectors = kColumnTiles * kParts / 2;     // of a lane, for the right sides of 16 inputs
  static constexpr int kWeightVectors = kSteps * kVectors * 32;  // for kOutputs outputs
  static constexpr int kRowVectors = kRows * kInputs / 4;        // of a warp's rows
};

inline constexpr int kProjectWarps = 12;  // of a block, at most

// The weights of inputs first_input to first_input + 16 kSteps: [kOutputs outputs][16 inputs][vector][lane]. A lane's words are [8 outputs][part][half of
// the inputs]; its inputs are four neighbours, so that it reads vectors of rows, and its sums of two times 8 outputs are four neighbours too.
// value(output, input) is below 2^15.
template <Precision kPrecision, int kSteps, class Value>
void pack_weight(int first_input, int d_in, int d_out, const Value& value, std::vector<uint32_t>& words) {
  using Shape = ProjectShape<kPrecision, kSteps>;
  const auto bits = [](float x, int part) -> uint32_t {
    if constexpr (kPrecision == Precision::bf16) return __bfloat16_as_ushort(__float2bfloat16_rn(x));
    const __half high = __float2half_rn(x);
    return __half_as_ushort(part == 0 ? high : __float2half_rn(x - __half2float(high)));
  };
  for (int o0 = 0; o0 < d_out; o0 += Shape::kOutputs)
    for (int step = 0; step < kSteps; ++step)
      for (int vector = 0; vector < Shape::kVectors; ++vector)
        for (int lane = 0; lane < 32; ++lane)
          for (int word = 4 * vector; word < 4 * vector + 4; ++word) {
            const int half = word % 2, part = word / 2 % Shape::kParts, tile = word / 2 / Shape::kParts, column = lane / 4;
            const int output = o0 + tile / 2 * 16 + column / 2 * 4 + tile % 2 * 2 + column % 2, input = first_input + 16 * step + lane % 4 * 4 + 2 * half;
            uint32_t pair[2];
            for (int i = 0; i < 2; ++i) pair[i] = bits(output < d_out && input + i < d_in ? value(output, input + i) : 0.0f, part);
            words.push_back(pair[0] | pair[1] << 16);
          }
}

// The two numbers as kParts pairs of 16-bit ones.
template <Precision kPrecision, int kParts>
__device__ inline void split(float first, float second, uint32_t (&pairs)[kParts]) {
  if constexpr (kPrecision == Precision::bf16) {
    pairs[0] = pack_bf16(first, second);
  } else {
    pairs[0] = pack_f16(first, second);
    if constexpr (kParts == 2) {
      const float2 high = unpack_f16(pairs[0]);
      pairs[1] = pack_f16(first - high.x, second - high.y);
    }
  }
}

// The power of 2 that brings `peak` into [2^14, 2^15), and its inverse.
struct PowerOf2 {
  float value, inverse;
  __device__ explicit PowerOf2(float peak) {
    const uint32_t exponent = max(__float_as_uint(peak) >> 23, 15u);  // of less than 2^-112 the inverse would not be a normal number
    value = __uint_as_float((268u - exponent) << 23), inverse = __uint_as_float((exponent - 14u) << 23);
  }
};

// Inputs first_input to first_input + 16 kSteps. Block `parts * i + part` makes the `part_blocks` times kOutputs outputs of its part of every
// gridDim.x / parts times warps-th tile of rows. Shared memory: weights of the part, and a tile of rows a warp. Where outputs are convolved tiles
// overlap by the frames that the convolution looks back.
template <Precision kPrecision, int kSteps>
__global__ void __launch_bounds__(32 * kProjectWarps, 1) project(LinearArguments l, Convolved convolved, int first_input, int parts, int part_blocks) {
  using Shape = ProjectShape<kPrecision, kSteps>;
  constexpr int kParts = Shape::kParts, kRowTiles = Shape::kRowTiles, kColumnTiles = Shape::kColumnTiles;
  constexpr int kLaneRows = 2 * kRowTiles, kLaneOutputs = kColumnTiles / 2;  // neighbouring rows, and vectors of outputs, of a lane
  constexpr int kPast = kQuadTaps - 1;
  const Conv& conv = convolved.conv;
  const int warps = int(blockDim.x) / 32, warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int first_block = int(blockIdx.x) % parts * part_blocks, blocks = min(part_blocks, (l.d_out + Shape::kOutputs - 1) / Shape::kOutputs - first_block);
  float4* weight = reinterpret_cast<float4*>(dynamic_shared());
  float4* fetched = weight + part_blocks * Shape::kWeightVectors + warp * Shape::kRowVectors + lane;  // [row of the lane][16 inputs][lane]
  const bool vectors_in = on_vectors(l.in, l.in_stride, l.d_in), vectors_out = on_vectors(l.out, l.out_stride, l.d_out);
  const int overlap = conv.channels > 0 ? (kPast + kLaneRows - 1) / kLaneRows * kLaneRows : 0, tile_rows = Shape::kRows - overlap;
  const int rows = int(l.rows), tiles = (rows + tile_rows - 1) / tile_rows;

  // Of the lane's rows, the first; before row 0 for lanes of the first tile's overlap.
  const auto first_row = [&](int tile) { return tile * tile_rows - overlap + kLaneRows * g; };
  const auto row_at = [&](int row) { return l.in + size_t(min(max(row, 0), rows - 1)) * size_t(l.in_stride); };
  // Every lane fetches what it reads itself.
  const auto fetch = [&](int tile) {
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
      const int input = first_input + 4 * t;
      const float* from = row_at(first_row(tile) + r) + input;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        float4& to = fetched[(r * kSteps + step) * 32];
        const int left = l.d_in - input - 16 * step;
        if (left >= 4 && vectors_in) copy_async(from + 16 * step, &to.x);
        else to = {left > 0 ? from[16 * step] : 0.0f, left > 1 ? from[16 * step + 1] : 0.0f, left > 2 ? from[16 * step + 2] : 0.0f,
                   left > 3 ? from[16 * step + 3] : 0.0f};
      }
    }
  };
  const auto read_output = [&](const float* from, int output) {
    if (vectors_out) return *reinterpret_cast<const float4*>(from);
    return float4{from[0], output + 1 < l.d_out ? from[1] : 0.0f, output + 2 < l.d_out ? from[2] : 0.0f, output + 3 < l.d_out ? from[3] : 0.0f};
  };
  const auto write_output = [&](float* to, int output, float4 y) {
    if (vectors_out) return store_vector(to, y);
    to[0] = y.x;
    if (output + 1 < l.d_out) to[1] = y.y;
    if (output + 2 < l.d_out) to[2] = y.z;
    if (output + 3 < l.d_out) to[3] = y.w;
  };

  // neighbours on different multiprocessors, so that all get as many
  const int part_size = int(gridDim.x) / parts, tiles_at_once = part_size * warps;
  int tile = warp * part_size + int(blockIdx.x) / parts;
  if (tile < tiles) fetch(tile);
  const float* packed = static_cast<const float*>(l.weight) + size_t(first_block) * Shape::kWeightVectors * 4;
  for (int i = int(threadIdx.x); i < blocks * Shape::kWeightVectors; i += int(blockDim.x)) copy_async(packed + 4 * i, &weight[i].x);
  wait_for_copies();
  __syncthreads();

  for (; tile < tiles; tile += tiles_at_once) {
    wait_for_copies();
    const int row = first_row(tile), valid = kLaneRows * g >= overlap ? min(rows - row, kLaneRows) : 0;  // of the lane's rows, as outputs
    PairsLeft left[kRowTiles][kSteps][kParts];
    float factor[kLaneRows];
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
      float peak = 0, squares = 0;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const float4 v = fetched[(r * kSteps + step) * 32];
        squares = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, squares))));
        peak = fmaxf(fmaxf(peak, fmaxf(fabsf(v.x), fabsf(v.y))), fmaxf(fabsf(v.z), fabsf(v.w)));
      }
      float scale = 1;
      factor[r] = l.weight_scale;
      if constexpr (kPrecision != Precision::bf16) {
        peak = fmaxf(peak, __shfl_xor_sync(0xffffffffu, peak, 1));
        const PowerOf2 power(fmaxf(peak, __shfl_xor_sync(0xffffffffu, peak, 2)));
        scale = power.value, factor[r] *= power.inverse;
      }
      if (l.normalise) {
        if (l.d_in > Shape::kInputs) {
          const float* from = row_at(row + r);
          squares = 0;
          if (vectors_in) {
#pragma unroll 4
            for (int k = 4 * t; k < l.d_in; k += 16) {
              const float4 v = *reinterpret_cast<const float4*>(from + k);
              squares = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, squares))));
            }
          } else {
            for (int k = t; k < l.d_in; k += 4) squares = fmaf(from[k], from[k], squares);
          }
        }
        squares += __shfl_xor_sync(0xffffffffu, squares, 1);
        squares += __shfl_xor_sync(0xffffffffu, squares, 2);
        factor[r] *= 1.0f / sqrtf(squares / float(l.d_in) + l.eps);
      }
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const float4 v = fetched[(r * kSteps + step) * 32];
        uint32_t pairs[2][kParts];
        split<kPrecision>(v.x * scale, v.y * scale, pairs[0]);
        split<kPrecision>(v.z * scale, v.w * scale, pairs[1]);
#pragma unroll
        for (int part = 0; part < kParts; ++part)
          left[r / 2][step][part].pairs[r % 2] = pairs[0][part], left[r / 2][step][part].pairs[2 + r % 2] = pairs[1][part];
      }
    }
    if (tile + tiles_at_once < tiles) fetch(tile + tiles_at_once);

    int frames_before = kPast, state_in = 0;  // the lane's first row, since the signal began; where its history lies
    bool remembered = false;                  // some of the rows are its last ones
    if (conv.channels > 0 && valid > 0) {
      const Chunk* chunk = convolved.chunks + row / convolved.chunk_frames;
      const int frame = row % convolved.chunk_frames;
      if (chunk->first) frames_before = frame, state_in = chunk->state_in;
      const bool last = chunk->last || chunk[1].last;
      const int left_over = chunk->frames - frame + (chunk->last ? 0 : chunk[1].frames);  // if last, of the signal
      remembered = last && left_over > 0 && left_over < conv.taps + kLaneRows;
    }

    for (int block = 0; block < blocks; ++block) {
      const int first_output = (first_block + block) * Shape::kOutputs;
      float* out = l.out + ptrdiff_t(row) * l.out_stride;
      float4 start[kLaneRows][kLaneOutputs];
#pragma unroll
      for (int o = 0; o < kLaneOutputs; ++o) {
        const int output = first_output + 16 * o + 4 * t;
        const float4 bias = l.bias ? *reinterpret_cast<const float4*>(l.bias + output) : float4{0, 0, 0, 0};
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) {
          start[r][o] = bias;
          if (!l.accumulate || r >= valid || output >= l.d_out) continue;
          const float4 before = read_output(out + ptrdiff_t(r) * l.out_stride + output, output);
          start[r][o] = {before.x + bias.x, before.y + bias.y, before.z + bias.z, before.w + bias.w};
        }
      }

      float sums[kRowTiles][kColumnTiles][4] = {};
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        uint4 right[Shape::kVectors];
#pragma unroll
        for (int i = 0; i < Shape::kVectors; ++i)
          right[i] = reinterpret_cast<const uint4*>(weight)[((block * kSteps + step) * Shape::kVectors + i) * 32 + lane];
        const auto multiply = [&](int left_part, int right_part) {
#pragma unroll
          for (int column = 0; column < kColumnTiles; ++column) {
            const int at = column * kParts + right_part;
            const uint32_t b0 = at % 2 ? right[at / 2].z : right[at / 2].x, b1 = at % 2 ? right[at / 2].w : right[at / 2].y;
#pragma unroll
            for (int i = 0; i < kRowTiles; ++i) {
              if constexpr (kPrecision == Precision::bf16) multiply_add_bf16(sums[i][column], left[i][step][left_part], b0, b1);
              else multiply_add_f16(sums[i][column], left[i][step][left_part], b0, b1);
            }
          }
        };
        if constexpr (kParts == 2) multiply(1, 0), multiply(0, 1);  // the product of the two small parts is below float32's last bit
        multiply(0, 0);
      }

      const bool some_convolved = first_output < convolved.first + conv.channels && convolved.first < first_output + Shape::kOutputs;
#pragma unroll
      for (int o = 0; o < kLaneOutputs; ++o) {
        const int output = first_output + 16 * o + 4 * t, channel = output - convolved.first;
        float4 y[kPast + kLaneRows];  // those before the lane's rows are for the convolution
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) {
          const float *first = &sums[r / 2][2 * o][r % 2 * 2], *second = &sums[r / 2][2 * o + 1][r % 2 * 2];
          const float4& from = start[r][o];
          y[kPast + r] = {fmaf(first[0], factor[r], from.x), fmaf(first[1], factor[r], from.y), fmaf(second[0], factor[r], from.z),
                          fmaf(second[1], factor[r], from.w)};
        }
        if (some_convolved) {
#pragma unroll
          for (int back = 1; back <= kPast; ++back) {
            const int lanes = (back + kLaneRows - 1) / kLaneRows;
            const float4& theirs = y[kPast + lanes * kLaneRows - back];
            y[kPast - back] = {__shfl_up_sync(0xffffffffu, theirs.x, 4 * lanes), __shfl_up_sync(0xffffffffu, theirs.y, 4 * lanes),
                               __shfl_up_sync(0xffffffffu, theirs.z, 4 * lanes), __shfl_up_sync(0xffffffffu, theirs.w, 4 * lanes)};
          }
          if (channel >= 0 && channel < conv.channels) {
            if (remembered)
              for (int r = 0; r < kLaneRows; ++r)
                if (r < valid) write_output(out + ptrdiff_t(r) * l.out_stride + output, output, y[kPast + r]);
#pragma unroll
            for (int back = 1; back <= kPast; ++back)
              if (back > frames_before)
                y[kPast - back] = remembered_inputs(conv, conv.table + size_t(state_in) * conv.table_stride, channel, back - frames_before);
            const ConvQuad quad(conv, channel);
            float* to = conv.y + ptrdiff_t(row) * conv.y_stride + channel;
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r)
              if (r < valid) store_vector(to + ptrdiff_t(r) * conv.y_stride, quad(y[r + 3], y[r + 2], y[r + 1], y[r]));
            continue;
          }
        }
        if (output >= l.d_out) continue;
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r)
          if (r < valid) write_output(out + ptrdiff_t(r) * l.out_stride + output, output, y[kPast + r]);
      }
    }
  }
}

// ---- of few inputs or few outputs, which only move memory; in float32 whatever the precision

// A thread makes four outputs of every gridDim.x-th set of rows. weight: [input][output, up to a multiple of 4].
static __global__ void __launch_bounds__(kElementThreads) project_few_inputs(LinearArguments l, int rows_per_block) {
  const int quads = (l.d_out + 3) / 4;
  const bool vectors = on_vectors(l.out, l.out_stride, l.d_out);
  size_t row;
  int quad;
  if (!find_element(l.rows, quads, rows_per_block, row, quad)) return;
  const float4* weight = static_cast<const float4*>(l.weight) + quad;
  const int output = 4 * quad, outputs = min(l.d_out - output, 4);
  float bias[4] = {};
  for (int i = 0; i < outputs; ++i) bias[i] = l.bias ? l.bias[output + i] : 0.0f;
  for (; row < l.rows; row += size_t(gridDim.x) * size_t(rows_per_block)) {
    const float* in = l.in + row * size_t(l.in_stride);
    float y[4] = {bias[0], bias[1], bias[2], bias[3]};
    for (int k = 0; k < l.d_in; ++k) {
      const float x = in[k];
      const float4 w = weight[k * quads];
      y[0] = fmaf(w.x, x, y[0]), y[1] = fmaf(w.y, x, y[1]), y[2] = fmaf(w.z, x, y[2]), y[3] = fmaf(w.w, x, y[3]);
    }
    float* out = l.out + row * size_t(l.out_stride) + output;
    if (vectors && !l.accumulate) {
      store_vector(out, {y[0], y[1], y[2], y[3]});
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (i < outputs) out[i] = l.accumulate ? out[i] + y[i] : y[i];
    }
  }
}

inline constexpr int kFewOutputs = 8;

// kFewOutputs threads read a row, and each then writes one of its outputs. weight: [output][input].
static __global__ void __launch_bounds__(kElementThreads) project_few_outputs(LinearArguments l) {
  const size_t row = size_t(blockIdx.x) * (kElementThreads / kFewOutputs) + threadIdx.x / kFewOutputs;
  const int slot = int(threadIdx.x) % kFewOutputs;
  const float *weight = static_cast<const float*>(l.weight), *in = l.in + min(row, l.rows - 1) * size_t(l.in_stride);
  float sums[kFewOutputs] = {};
  if (on_vectors(l.in, l.in_stride, l.d_in)) {
#pragma unroll 2
    for (int k = 4 * slot; k < l.d_in; k += 4 * kFewOutputs) {
      const float4 x = *reinterpret_cast<const float4*>(in + k);
#pragma unroll
      for (int o = 0; o < kFewOutputs; ++o) {
        if (o >= l.d_out) break;
        const float4 w = *reinterpret_cast<const float4*>(weight + o * l.d_in + k);
        sums[o] = fmaf(w.x, x.x, fmaf(w.y, x.y, fmaf(w.z, x.z, fmaf(w.w, x.w, sums[o]))));
      }
    }
  } else {
    for (int k = slot; k < l.d_in; k += kFewOutputs)
#pragma unroll
      for (int o = 0; o < kFewOutputs; ++o)
        if (o < l.d_out) sums[o] = fmaf(weight[o * l.d_in + k], in[k], sums[o]);
  }
  float sum = 0;
#pragma unroll
  for (int o = 0; o < kFewOutputs; ++o) {
    if (o >= l.d_out) break;
#pragma unroll
    for (int other = 1; other < kFewOutputs; other *= 2) sums[o] += __shfl_xor_sync(0xffffffffu, sums[o], other);
    if (o == slot) sum = sums[o];
  }
  if (row >= l.rows || slot >= l.d_out) return;
  if (l.bias) sum += l.bias[slot];
  float& y = l.out[row * size_t(l.out_stride) + size_t(slot)];
  y = l.accumulate ? y + sum : sum;
}

}  // namespace coil::gpu
