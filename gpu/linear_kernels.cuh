// The kernels of projections, and the layout of their weights.
//
// `project` reads every row once. A block keeps its weights in shared memory. Each of its warps goes over tiles of rows
// and holds their inputs in registers while it computes one output after another; meanwhile it loads the next tile.
// Products use 16-bit numbers, which the tensor cores multiply twice as fast as tf32. In float32 precision a number is
// the sum of two float16. First its row, or the matrix, is scaled by the power of 2 that brings the largest value into
// [2^14, 2^15). The relative error is 2^-23; for numbers below 2^-17 of the largest value, the error is 2^-39 of that
// value. tf32 has the significand of a float16, and uses only the first of the two.
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
  const void* weight;  // in the kernel's layout
  float weight_scale;  // factor for the products of `project`'s weights
  const float* bias;   // null: none; for `project`, padded with 0 from d_out to the next multiple of 32
  int d_in, d_out;
  const float* in;
  int in_stride;
  float* out;
  int out_stride;
  size_t rows;
  bool accumulate, normalise;
  float eps;
};

// Outputs `first` to `first + conv.channels` take the place of conv.x: they go through a convolution to conv.y instead
// of into `out`. `first` is a multiple of 4. A signal's last ones become its new state, which is stored apart from the
// old one. Without channels there is no convolution.
struct Convolved {
  ConvArguments conv;
  int first;
  const Chunk* chunks;
  int chunk_frames;
};

// ---- on the tensor cores

// The work of a warp for up to 16 kSteps inputs. By default its rows fill half of its registers.
template <Precision kPrecision, int kSteps, int kRowTiles_ = (kSteps > 4 ? 1 : 2)>
struct ProjectShape {
  static constexpr int kParts = kPrecision == Precision::float32 ? 2 : 1;  // 16-bit numbers per value
  static constexpr int kInputs = 16 * kSteps;
  static constexpr int kRowTiles = kRowTiles_,
                       kColumnTiles = 4 / kRowTiles;  // four sums, so that no product waits for the previous one
  static constexpr int kRows = 16 * kRowTiles, kOutputs = 8 * kColumnTiles;
  static constexpr int kLaneRows = 2 * kRowTiles,
                       kLaneOutputs = kColumnTiles / 2;          // neighbouring rows per lane; vectors of outputs per
                                                                 // lane
  static constexpr int kVectors = kColumnTiles * kParts / 2;     // per lane, for the right sides of 16 inputs
  static constexpr int kWeightVectors = kSteps * kVectors * 32;  // for kOutputs outputs
  static constexpr int kRowVectors = kRows * kInputs / 4;        // for a warp's rows
};

inline constexpr int kProjectWarps = 12;  // per block, at most

// The weights of inputs first_input to first_input + 16 kSteps: [kOutputs outputs][16 inputs][vector][lane]. A lane's
// words are [8 outputs][part][half of the inputs]. A lane's inputs are four neighbours, so that it reads rows as
// vectors; its sums of two times 8 outputs are four neighbours too. value(output, input) must be below 2^15.
template <Precision kPrecision, int kSteps, class Shape = ProjectShape<kPrecision, kSteps>, class Value>
void pack_weight(int first_input, int d_in, int d_out, const Value& value, std::vector<uint32_t>& words) {
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
            const int half = word % 2, part = word / 2 % Shape::kParts, tile = word / 2 / Shape::kParts,
                      column = lane / 4;
            const int output = o0 + tile / 2 * 16 + column / 2 * 4 + tile % 2 * 2 + column % 2,
                      input = first_input + 16 * step + lane % 4 * 4 + 2 * half;
            uint32_t pair[2];
            for (int i = 0; i < 2; ++i)
              pair[i] = bits(output < d_out && input + i < d_in ? value(output, input + i) : 0.0f, part);
            words.push_back(pair[0] | pair[1] << 16);
          }
}

// Splits two numbers into kParts pairs of 16-bit numbers.
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
    const uint32_t exponent =
        max(__float_as_uint(peak) >> 23, 15u);  // below 2^-112, the inverse would not be a normal number
    value = __uint_as_float((268u - exponent) << 23), inverse = __uint_as_float((exponent - 14u) << 23);
  }
};

// The sum over the four lanes of a row.
__device__ inline float sum_of_row(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
__device__ inline float largest_of_row(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ inline float sum_of_squares(const float4& v, float sum) {
  return fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, sum))));
}

// The factor of the norm for a row, 1 without a norm. squares: the lane's part of the sum of squares.
__device__ inline float norm_factor(const LinearArguments& l, float squares) {
  return l.normalise ? 1.0f / sqrtf(sum_of_row(squares) / float(l.d_in) + l.eps) : 1.0f;
}

// The rows of a lane as left sides of products.
template <Precision kPrecision, int kSteps, class Shape = ProjectShape<kPrecision, kSteps>>
struct LeftRows {
  static constexpr int kParts = Shape::kParts, kRowTiles = Shape::kRowTiles, kColumnTiles = Shape::kColumnTiles;
  PairsLeft left[kRowTiles][kSteps][kParts];

  // Loads row r; at(step): its four inputs. Returns the factor for its products.
  template <class At>
  __device__ float set(int r, const At& at) {
    float scale = 1, inverse = 1;
    if constexpr (kPrecision != Precision::bf16) {
      float peak = 0;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const float4 v = at(step);
        peak = fmaxf(fmaxf(peak, fmaxf(fabsf(v.x), fabsf(v.y))), fmaxf(fabsf(v.z), fabsf(v.w)));
      }
      const PowerOf2 power(largest_of_row(peak));
      scale = power.value, inverse = power.inverse;
    }
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const float4 v = at(step);
      uint32_t pairs[2][kParts];
      split<kPrecision>(v.x * scale, v.y * scale, pairs[0]);
      split<kPrecision>(v.z * scale, v.w * scale, pairs[1]);
#pragma unroll
      for (int part = 0; part < kParts; ++part)
        left[r / 2][step][part].pairs[r % 2] = pairs[0][part],
                                          left[r / 2][step][part].pairs[2 + r % 2] = pairs[1][part];
    }
    return inverse;
  }

  // sums += the rows times a block of packed weights; the lane's weights start at `weight`.
  __device__ void multiply(const float4* weight, float (&sums)[kRowTiles][kColumnTiles][4]) const {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      uint4 right[Shape::kVectors];
#pragma unroll
      for (int i = 0; i < Shape::kVectors; ++i)
        right[i] = reinterpret_cast<const uint4*>(weight)[(step * Shape::kVectors + i) * 32];
      const auto multiply_parts = [&](int left_part, int right_part) {
#pragma unroll
        for (int column = 0; column < kColumnTiles; ++column) {
          const int at = column * kParts + right_part;
          const uint32_t b0 = at % 2 ? right[at / 2].z : right[at / 2].x,
                         b1 = at % 2 ? right[at / 2].w : right[at / 2].y;
#pragma unroll
          for (int i = 0; i < kRowTiles; ++i) {
            if constexpr (kPrecision == Precision::bf16)
              multiply_add_bf16(sums[i][column], left[i][step][left_part], b0, b1);
            else
              multiply_add_f16(sums[i][column], left[i][step][left_part], b0, b1);
          }
        }
      };
      if constexpr (kParts == 2)
        multiply_parts(1, 0), multiply_parts(0, 1);  // the product of the two small parts is below float32's rounding
                                                     // error
      multiply_parts(0, 0);
    }
  }

  // Vector o of row r's outputs: factor sums + bias.
  __device__ static float4 output(const float (&sums)[kRowTiles][kColumnTiles][4], int r, int o, float factor,
                                  const float4& bias) {
    const float *first = &sums[r / 2][2 * o][r % 2 * 2], *second = &sums[r / 2][2 * o + 1][r % 2 * 2];
    return {fmaf(first[0], factor, bias.x), fmaf(first[1], factor, bias.y), fmaf(second[0], factor, bias.z),
            fmaf(second[1], factor, bias.w)};
  }
};

// How a lane reads rows, and reads and writes outputs, with or without vector accesses.
struct LaneMemory {
  const LinearArguments& l;
  bool vectors_in, vectors_out;

  __device__ explicit LaneMemory(const LinearArguments& arguments)
      : l(arguments),
        vectors_in(on_vectors(l.in, l.in_stride, l.d_in)),
        vectors_out(on_vectors(l.out, l.out_stride, l.d_out)) {}

  // Rows before the first one repeat it; rows after the last one repeat the last.
  __device__ const float* row(int row) const {
    return l.in + size_t(min(max(row, 0), int(l.rows) - 1)) * size_t(l.in_stride);
  }

  // Starts to copy inputs `input`, `input` + 16 ... of a row to every 32nd vector from `to` on.
  template <int kSteps>
  __device__ void fetch(int row_index, int input, float4* to) const {
    const float* from = row(row_index);
    if (vectors_in) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        if (input + 16 * step < l.d_in)
          copy_async(from + input + 16 * step, &to[32 * step].x);
        else
          to[32 * step] = {0, 0, 0, 0};
      }
      return;
    }
    const auto at = [&](int i) { return i < l.d_in ? from[i] : 0.0f; };
#pragma unroll 1
    for (int step = 0; step < kSteps; ++step, input += 16)
      to[32 * step] = {at(input), at(input + 1), at(input + 2), at(input + 3)};
  }

  __device__ float4 bias(int output) const {
    return l.bias ? *reinterpret_cast<const float4*>(l.bias + output) : float4{0, 0, 0, 0};
  }

  // Writes outputs `output` to `output` + 3 of the first `valid` neighbouring rows; `out` is the first row.
  template <int kRows>
  __device__ void read_outputs(const float* out, int output, int valid, float4 (&y)[kRows]) const {
#pragma unroll
    for (int r = 0; r < kRows; ++r, out += l.out_stride) {
      if (r >= valid || output >= l.d_out) continue;
      if (vectors_out) {
        y[r] = *reinterpret_cast<const float4*>(out + output);
      } else {
        y[r].x = out[output];
        if (output + 1 < l.d_out) y[r].y = out[output + 1];
        if (output + 2 < l.d_out) y[r].z = out[output + 2];
        if (output + 3 < l.d_out) y[r].w = out[output + 3];
      }
    }
  }
  template <int kRows>
  __device__ void write_outputs(float* out, int output, int valid, const float4 (&y)[kRows]) const {
    if (vectors_out) {
#pragma unroll
      for (int r = 0; r < kRows; ++r, out += l.out_stride)
        if (r < valid && output < l.d_out) store_vector(out + output, y[r]);
      return;
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r, out += l.out_stride) {
      if (r >= valid) break;
      if (output < l.d_out) out[output] = y[r].x;
      if (output + 1 < l.d_out) out[output + 1] = y[r].y;
      if (output + 2 < l.d_out) out[output + 2] = y[r].z;
      if (output + 3 < l.d_out) out[output + 3] = y[r].w;
    }
  }
};

// Stores those of neighbouring inputs that are among the last of their signal into its state. For the first input:
// frames_before, the frames since the signal's start, if few; frames_to_end. A signal with fewer frames than taps keeps
// some values of the previous state.
template <int kRows>
__device__ void remember_rows(const ConvArguments& conv, const Chunk& chunk, int c, int frames_before,
                              int frames_to_end, const float4 (&x)[kRows]) {
  float* after = conv.table + size_t(chunk.state_out) * conv.table_stride + size_t(c * conv.taps);
  const auto put = [&](int back, const float4& v) {
    if (back < 1 || back > conv.taps) return;
    float* at = after + conv.taps - back;
    at[0] = v.x, at[conv.taps] = v.y, at[2 * conv.taps] = v.z, at[3 * conv.taps] = v.w;
  };
#pragma unroll
  for (int r = 0; r < kRows; ++r) put(frames_to_end - r, x[r]);
  if (frames_before > 0) return;
#pragma unroll 1
  for (int back = frames_to_end + 1; back <= conv.taps; ++back)
    put(back, remembered_inputs(conv, chunk.state_in, c, back - frames_to_end));
}

// Called by all threads of a block.
__device__ inline void copy_weights(const void* from, float4* to, int vectors) {
  for (int i = int(threadIdx.x); i < vectors; i += int(blockDim.x))
    copy_async(static_cast<const float*>(from) + 4 * i, &to[i].x);
}

inline __host__ __device__ int conv_weight_vectors(const ConvArguments& conv) {
  return (kQuadTaps + 1) * conv.channels / 4;
}

// Processes inputs first_input to first_input + 16 kSteps. Block `parts * i + part` computes the `part_blocks` times
// kOutputs outputs of its part, for every (gridDim.x / parts * warps)-th tile of rows. Shared memory: weights of the
// part, weights of the convolution, and a tile of rows per warp. If outputs are convolved, tiles overlap by the
// convolution's history.
//
// Stages: copy the weights; then for every tile of rows
//   1. take the tile's inputs into registers, and start to load the next tile's
//   2. per block of outputs: product, scale and bias
//   3. convolution and silu, if the outputs are convolved; writes the outputs
template <Precision kPrecision, int kSteps>
__global__ void __launch_bounds__(32 * kProjectWarps, 1)
    project(LinearArguments l, Convolved convolved, int first_input, int parts, int part_blocks) {
  using Shape = ProjectShape<kPrecision, kSteps>;
  constexpr int kLaneRows = Shape::kLaneRows, kLaneOutputs = Shape::kLaneOutputs, kPast = kQuadTaps - 1;
  const ConvArguments& conv = convolved.conv;
  const LaneMemory memory(l);
  const int warps = int(blockDim.x) / 32, warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, g = lane / 4,
            t = lane % 4;
  const int first_block = int(blockIdx.x) % parts * part_blocks,
            blocks = min(part_blocks, (l.d_out + Shape::kOutputs - 1) / Shape::kOutputs - first_block);
  float4* weight = reinterpret_cast<float4*>(dynamic_shared());
  float4* conv_weights = weight + part_blocks * Shape::kWeightVectors;  // [frames back, bias][channel]
  float4* fetched = conv_weights + conv_weight_vectors(conv) + warp * Shape::kRowVectors +
                    lane;  // [row of the lane][16 inputs][lane]
  const int overlap = conv.channels > 0 ? (kPast + kLaneRows - 1) / kLaneRows * kLaneRows : 0,
            tile_rows = Shape::kRows - overlap;
  const int rows = int(l.rows), tiles = (rows + tile_rows - 1) / tile_rows;

  // The first of the lane's rows; negative for lanes in the first tile's overlap.
  const auto first_row = [&](int tile) { return tile * tile_rows - overlap + kLaneRows * g; };
  // Every lane loads what it will read itself.
  const auto fetch = [&](int tile) {
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r)
      memory.fetch<kSteps>(first_row(tile) + r, first_input + 4 * t, fetched + r * kSteps * 32);
  };

  // Neighbouring tiles go to different multiprocessors, so that all get equally many.
  const int part_size = int(gridDim.x) / parts, tiles_at_once = part_size * warps;
  int tile = warp * part_size + int(blockIdx.x) / parts;
  if (tile < tiles) fetch(tile);
  copy_weights(static_cast<const float4*>(l.weight) + first_block * Shape::kWeightVectors, weight,
               blocks * Shape::kWeightVectors);
  for (int i = int(threadIdx.x); i < (kQuadTaps + 1) * conv.channels; i += int(blockDim.x))
    reinterpret_cast<float*>(conv_weights)[i] = conv_weight(conv, i / conv.channels, i % conv.channels);
  wait_for_copies();
  __syncthreads();

  for (; tile < tiles; tile += tiles_at_once) {
    const int row = first_row(tile),
              valid = kLaneRows * g >= overlap ? min(rows - row, kLaneRows) : 0;  // of the lane's rows, as outputs
    const Chunk* chunk = convolved.chunks;                                        // of the lane's rows
    int frames_before = kPast,
        frames_to_end = 0;  // frames_before: since the signal's start, if few; frames_to_end: from the lane's first row
                            // to the signal's end
    if (conv.channels > 0 && valid > 0) {  // load it early because of the latency
      chunk += row / convolved.chunk_frames;
      const int frame = row % convolved.chunk_frames;
      if (chunk->first) frames_before = min(frame, kPast);
      frames_to_end = chunk->left - frame;
    }
    wait_for_copies();
    LeftRows<kPrecision, kSteps> left;
    float factor[kLaneRows];
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
      const auto at = [&](int step) { return fetched[(r * kSteps + step) * 32]; };
      factor[r] = left.set(r, at) * l.weight_scale;
      float squares = 0;
      if (l.normalise) {
        if (l.d_in <= Shape::kInputs) {
#pragma unroll
          for (int step = 0; step < kSteps; ++step) squares = sum_of_squares(at(step), squares);
        } else if (memory.vectors_in) {
#pragma unroll 4
          for (int k = 4 * t; k < l.d_in; k += 16)
            squares = sum_of_squares(*reinterpret_cast<const float4*>(memory.row(row + r) + k), squares);
        } else {
          for (int k = t; k < l.d_in; k += 4) squares = fmaf(memory.row(row + r)[k], memory.row(row + r)[k], squares);
        }
      }
      factor[r] *= norm_factor(l, squares);
    }
    if (tile + tiles_at_once < tiles) fetch(tile + tiles_at_once);

    float *out = l.out + ptrdiff_t(row) * l.out_stride, *conv_out = conv.y + ptrdiff_t(row) * conv.y_stride;
    for (int block = 0; block < blocks; ++block) {
      const int first_output = (first_block + block) * Shape::kOutputs;
      float4 before[kLaneOutputs][kLaneRows] = {};
      if (l.accumulate)
#pragma unroll
        for (int o = 0; o < kLaneOutputs; ++o)
          memory.read_outputs(out, first_output + 16 * o + 4 * t, valid, before[o]);
      float sums[Shape::kRowTiles][Shape::kColumnTiles][4] = {};
      left.multiply(weight + block * Shape::kWeightVectors + lane, sums);

      const bool some_convolved =
          first_output < convolved.first + conv.channels && convolved.first < first_output + Shape::kOutputs;
#pragma unroll
      for (int o = 0; o < kLaneOutputs; ++o) {
        const int output = first_output + 16 * o + 4 * t, channel = output - convolved.first;
        const float4 bias = memory.bias(output);
        float4 y[kLaneRows];
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) {
          y[r] = left.output(sums, r, o, factor[r], bias);
          if (l.accumulate) y[r] = add(y[r], before[o][r]);
        }
        if (some_convolved) {
          float4 x[kPast + kLaneRows];  // including the rows before
#pragma unroll
          for (int back = 1; back <= kPast; ++back) {
            const int lanes = (back + kLaneRows - 1) / kLaneRows;
            const float4& theirs = y[lanes * kLaneRows - back];
            x[kPast - back] = {
                __shfl_up_sync(0xffffffffu, theirs.x, 4 * lanes), __shfl_up_sync(0xffffffffu, theirs.y, 4 * lanes),
                __shfl_up_sync(0xffffffffu, theirs.z, 4 * lanes), __shfl_up_sync(0xffffffffu, theirs.w, 4 * lanes)};
          }
#pragma unroll
          for (int r = 0; r < kLaneRows; ++r) x[kPast + r] = y[r];
          if (channel >= 0 && channel < conv.channels) {
            if (valid <= 0) continue;  // chunks, and therefore the rows, are multiples of 16
            if (frames_before < kPast)
#pragma unroll
              for (int back = 1; back <= kPast; ++back)
                if (back > frames_before)
                  x[kPast - back] = remembered_inputs(conv, chunk->state_in, channel, back - frames_before);
            if (frames_to_end > 0 && frames_to_end < conv.taps + kLaneRows)
              remember_rows(conv, *chunk, channel, frames_before, frames_to_end, y);
            const ConvQuad quad([&](int back) { return conv_weights[(back * conv.channels + channel) / 4]; });
            float* to = conv_out + channel;
#pragma unroll
            for (int r = 0; r < kLaneRows; ++r, to += conv.y_stride)
              store_vector(to, quad(x[r + 3], x[r + 2], x[r + 1], x[r]));
            continue;
          }
        }
        memory.write_outputs(out, output, valid, y);
      }
    }
  }
}

// Applies l to gated inputs, y silu(z): y are the inputs of l, and z = `gate` of up to 16 kModelSteps inputs with twice
// as many outputs. The outputs of the gate never leave the lanes that use them. Shared memory: both weights, and a tile
// of rows of both inputs per warp.
//
// Stages: copy the weights; then for every tile of rows: the product for z, y silu(z), and its product with l's
// weights.
template <Precision kPrecision, int kModelSteps>
__global__ void __launch_bounds__(32 * kProjectWarps, 1) gate_and_project(LinearArguments gate, LinearArguments l) {
  constexpr int kSteps = 2 * kModelSteps;
  using GateShape = ProjectShape<kPrecision, kModelSteps, 1>;
  using Shape = ProjectShape<kPrecision, kSteps, 1>;
  constexpr int kLaneRows = Shape::kLaneRows, kLaneOutputs = Shape::kLaneOutputs;
  const LaneMemory gate_memory(gate), memory(l);
  const int warps = int(blockDim.x) / 32, warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, g = lane / 4,
            t = lane % 4;
  const int gate_blocks = (gate.d_out + Shape::kOutputs - 1) / Shape::kOutputs,
            blocks = (l.d_out + Shape::kOutputs - 1) / Shape::kOutputs;
  float4* gate_weight = reinterpret_cast<float4*>(dynamic_shared());
  float4* weight = gate_weight + gate_blocks * GateShape::kWeightVectors;
  float4* fetched = weight + blocks * Shape::kWeightVectors + warp * (Shape::kRowVectors + GateShape::kRowVectors) +
                    lane;  // as in project
  float4* fetched_for_gate = fetched + Shape::kRowVectors;
  const int rows = int(l.rows), tiles = (rows + Shape::kRows - 1) / Shape::kRows,
            tiles_at_once = int(gridDim.x) * warps;

  const auto fetch = [&](int tile) {
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
      gate_memory.fetch<kModelSteps>(tile * Shape::kRows + kLaneRows * g + r, 4 * t,
                                     fetched_for_gate + r * kModelSteps * 32);
      memory.fetch<kSteps>(tile * Shape::kRows + kLaneRows * g + r, 4 * t, fetched + r * kSteps * 32);
    }
  };

  int tile = warp * int(gridDim.x) + int(blockIdx.x);
  if (tile < tiles) fetch(tile);
  copy_weights(gate.weight, gate_weight, gate_blocks * GateShape::kWeightVectors);
  copy_weights(l.weight, weight, blocks * Shape::kWeightVectors);
  wait_for_copies();
  __syncthreads();

  for (; tile < tiles; tile += tiles_at_once) {
    wait_for_copies();
    {
      LeftRows<kPrecision, kModelSteps, GateShape> left;
      float factor[kLaneRows];
#pragma unroll
      for (int r = 0; r < kLaneRows; ++r) {
        const auto at = [&](int step) { return fetched_for_gate[(r * kModelSteps + step) * 32]; };
        float squares = 0;
#pragma unroll
        for (int step = 0; step < kModelSteps; ++step) squares = sum_of_squares(at(step), squares);
        factor[r] = left.set(r, at) * gate.weight_scale * norm_factor(gate, squares);
      }
#pragma unroll
      for (int block = 0; block < kSteps / kLaneOutputs; ++block) {
        float sums[1][Shape::kColumnTiles][4] = {};
        if (block < gate_blocks) left.multiply(gate_weight + block * GateShape::kWeightVectors + lane, sums);
#pragma unroll
        for (int o = 0; o < kLaneOutputs; ++o) {
          const int step = block * kLaneOutputs + o;  // the gate's outputs in a lane are also its inputs of the next
                                                      // product
          const float4 bias = block < gate_blocks ? gate_memory.bias(16 * step + 4 * t) : float4{0, 0, 0, 0};
#pragma unroll
          for (int r = 0; r < kLaneRows; ++r) {
            const float4 z = left.output(sums, r, o, factor[r], bias);
            float4& y = fetched[(r * kSteps + step) * 32];
            y = {y.x * silu(z.x), y.y * silu(z.y), y.z * silu(z.z), y.w * silu(z.w)};
          }
        }
      }
    }

    const int row = tile * Shape::kRows + kLaneRows * g;
    float* out = l.out + ptrdiff_t(row) * l.out_stride;
    float4 before[kSteps / 4][kLaneOutputs][kLaneRows] = {};  // for all outputs, loaded early because of the latency
    if (l.accumulate)
#pragma unroll
      for (int o = 0; o < kSteps / 4 * kLaneOutputs; ++o)
        memory.read_outputs(out, 16 * o + 4 * t, rows - row, before[o / kLaneOutputs][o % kLaneOutputs]);
    LeftRows<kPrecision, kSteps, Shape> left;
    float factor[kLaneRows];
#pragma unroll
    for (int r = 0; r < kLaneRows; ++r) {
      const auto at = [&](int step) { return fetched[(r * kSteps + step) * 32]; };
      float squares = 0;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) squares = sum_of_squares(at(step), squares);
      factor[r] = left.set(r, at) * l.weight_scale * norm_factor(l, squares);
    }
    if (tile + tiles_at_once < tiles) fetch(tile + tiles_at_once);

#pragma unroll
    for (int block = 0; block < kSteps / 4; ++block) {
      if (block >= blocks) break;
      float sums[1][Shape::kColumnTiles][4] = {};
      left.multiply(weight + block * Shape::kWeightVectors + lane, sums);
#pragma unroll
      for (int o = 0; o < kLaneOutputs; ++o) {
        const int output = block * Shape::kOutputs + 16 * o + 4 * t;
        const float4 bias = memory.bias(output);
        float4 y[kLaneRows];
#pragma unroll
        for (int r = 0; r < kLaneRows; ++r) y[r] = add(left.output(sums, r, o, factor[r], bias), before[block][o][r]);
        memory.write_outputs(out, output, rows - row, y);
      }
    }
  }
}

// ---- few inputs or few outputs: these only move memory, and use float32 in every precision

inline constexpr int kRowsAtOnce = 4;

// A thread computes four outputs of kRowsAtOnce rows, which are gridDim.x * rows_per_block apart. weight:
// [input][output, padded to a multiple of 4].
static __global__ void __launch_bounds__(kElementThreads) project_few_inputs(LinearArguments l, int rows_per_block) {
  const int quads = (l.d_out + 3) / 4;
  const bool vectors = on_vectors(l.out, l.out_stride, l.d_out) && !l.accumulate;
  size_t first_row;
  int quad;
  if (!find_element(l.rows, quads, rows_per_block, first_row, quad)) return;
  const float4* weight = static_cast<const float4*>(l.weight) + quad;
  const int output = 4 * quad, outputs = min(l.d_out - output, 4);
  const auto row = [&](int i) { return first_row + size_t(i) * size_t(gridDim.x) * size_t(rows_per_block); };
  float y[kRowsAtOnce][4] = {};
  for (int k = 0; k < l.d_in; ++k) {
    const float4 w = weight[k * quads];
#pragma unroll
    for (int i = 0; i < kRowsAtOnce; ++i) {
      const float x = l.in[min(row(i), l.rows - 1) * size_t(l.in_stride) + size_t(k)];
      y[i][0] = fmaf(w.x, x, y[i][0]), y[i][1] = fmaf(w.y, x, y[i][1]), y[i][2] = fmaf(w.z, x, y[i][2]),
      y[i][3] = fmaf(w.w, x, y[i][3]);
    }
  }
  if (l.bias)
    for (int o = 0; o < 4; ++o)
#pragma unroll
      for (int i = 0; i < kRowsAtOnce; ++i) y[i][o] += o < outputs ? l.bias[output + o] : 0.0f;
#pragma unroll
  for (int i = 0; i < kRowsAtOnce; ++i) {
    if (row(i) >= l.rows) return;
    float* out = l.out + row(i) * size_t(l.out_stride) + output;
    if (vectors) {
      store_vector(out, {y[i][0], y[i][1], y[i][2], y[i][3]});
    } else {
#pragma unroll
      for (int o = 0; o < 4; ++o)
        if (o < outputs) out[o] = l.accumulate ? out[o] + y[i][o] : y[i][o];
    }
  }
}

inline constexpr int kFewOutputs = 8;

// kFewOutputs threads read a row together; then each writes one of its outputs. weight: [output][input].
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
