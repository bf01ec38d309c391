// The kernels of projections, and how their weights lie.
//
// A warp makes 32 rows of 64 outputs, a block 4 warps; the weights of 64 inputs at a time come to shared memory as the right sides of products
// (gpu/tensor_cores.cuh). Inputs of a product: [step][t], [step][t + 4] = 4 t + 2 step, 4 t + 2 step + 1 of 16, so that a lane reads vectors.
#pragma once

#include <vector>

#include "gpu/tensor_cores.cuh"

namespace coil::gpu {

inline constexpr int kLinearWarps = 4, kLinearRows = 32 * kLinearWarps, kLinearOutputs = 64, kLinearInputs = 64;

// Words of a right side that lie side by side per lane, and how many such vectors make one.
template <Precision kPrecision>
struct PackedRight {
  static constexpr int kWords = kPrecision == Precision::bf16 ? 2 : 4, kVectors = kPrecision == Precision::float32 ? 2 : 1;
  static constexpr int kFragment = 32 * kWords * kVectors;                                         // 16 inputs, 8 outputs
  static constexpr int kSlab = kFragment * (kLinearInputs / 16) * (kLinearOutputs / 8);  // 64 inputs, 64 outputs
};

// [64 outputs][64 inputs][8 outputs][16 inputs][vector][lane]; value(output, input) is 0 beyond the matrix.
template <Precision kPrecision, class Value>
std::vector<uint32_t> packed_weight(int d_in, int d_out, const Value& value) {
  using Packed = PackedRight<kPrecision>;
  const auto bits = [](float x) {
    uint32_t word;
    __builtin_memcpy(&word, &x, sizeof word);
    return word;
  };
  const auto rounded = [&](float x, int kept) {  // to nearest, ties away from 0
    uint32_t word = (bits(x) + (1u << (22 - kept))) & ~((1u << (23 - kept)) - 1);
    float y;
    __builtin_memcpy(&y, &word, sizeof y);
    return y;
  };
  std::vector<uint32_t> words;
  for (int o0 = 0; o0 < d_out; o0 += kLinearOutputs)
    for (int k0 = 0; k0 < d_in; k0 += kLinearInputs)
      for (int tile = 0; tile < kLinearOutputs; tile += 8)
        for (int k = 0; k < kLinearInputs; k += 16)
          for (int vector = 0; vector < Packed::kVectors; ++vector)
            for (int lane = 0; lane < 32; ++lane)
              for (int step = 0; step < 2; ++step) {
                float pair[2];
                for (int i = 0; i < 2; ++i) {
                  const int output = o0 + tile + lane / 4, input = k0 + k + lane % 4 * 4 + 2 * step + i;
                  pair[i] = output < d_out && input < d_in ? value(output, input) : 0.0f;
                }
                if constexpr (kPrecision == Precision::bf16) {
                  words.push_back(bits(rounded(pair[0], 7)) >> 16 | (bits(rounded(pair[1], 7)) & 0xffff0000u));
                } else {
                  for (const float x : pair) words.push_back(bits(vector == 0 ? rounded(x, 10) : rounded(x - rounded(x, 10), 10)));
                }
              }
  return words;
}

struct LinearArguments {
  const uint32_t* weight;
  const float* bias;
  int d_in, d_out;
  const float* in;
  int in_stride;
  float* out;
  int out_stride;
  size_t rows;
  bool accumulate, normalise;
  float eps;
};

// One right side of the packed ones at `at`, of a lane.
template <Precision kPrecision>
__device__ Right<kPrecision> packed_right(const uint32_t* at, int lane) {
  if constexpr (kPrecision == Precision::bf16) {
    const uint2 v = reinterpret_cast<const uint2*>(at)[lane];
    Right<kPrecision> right;
    right.pairs[0][0] = v.x, right.pairs[1][0] = v.y;
    return right;
  } else {
    const float4 high = reinterpret_cast<const float4*>(at)[lane];
    Right<kPrecision> right;
    if constexpr (kPrecision == Precision::float32) {
      const float4 low = reinterpret_cast<const float4*>(at)[32 + lane];
      right.high[0][0] = high.x, right.high[0][1] = high.y, right.high[1][0] = high.z, right.high[1][1] = high.w;
      right.low[0][0] = low.x, right.low[0][1] = low.y, right.low[1][0] = low.z, right.low[1][1] = low.w;
    } else {
      right.values[0][0] = high.x, right.values[0][1] = high.y, right.values[1][0] = high.z, right.values[1][1] = high.w;
    }
    return right;
  }
}

// Block `output_blocks * row_block + output_block`.
template <Precision kPrecision>
__global__ void __launch_bounds__(32 * kLinearWarps, 3) tiled_product(LinearArguments l, int output_blocks) {
  using Packed = PackedRight<kPrecision>;
  uint32_t* slab = reinterpret_cast<uint32_t*>(dynamic_shared());
  const int warp = int(threadIdx.x) / 32, lane = int(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int output_block = int(blockIdx.x % unsigned(output_blocks)), first_output = output_block * kLinearOutputs;
  const size_t first_row = size_t(blockIdx.x / unsigned(output_blocks)) * kLinearRows + size_t(32 * warp);
  const int slabs = (l.d_in + kLinearInputs - 1) / kLinearInputs;
  const bool vectors = l.d_in % 4 == 0 && l.in_stride % 4 == 0 && reinterpret_cast<uintptr_t>(l.in) % 16 == 0;
  const float* rows[4];  // g, g + 8, g + 16, g + 24; those beyond the last repeat it
#pragma unroll
  for (int r = 0; r < 4; ++r) rows[r] = l.in + min(first_row + size_t(g + 8 * r), l.rows - 1) * size_t(l.in_stride);

  const auto load = [&](int k, float4 (&to)[4]) {  // inputs k + 4 t to k + 4 t + 3 of the four rows
    const int first = k + 4 * t;
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      to[r] = {0, 0, 0, 0};
      if (first >= l.d_in) continue;
      if (vectors) {
        to[r] = *reinterpret_cast<const float4*>(rows[r] + first);
      } else {
        to[r].x = rows[r][first];
        if (first + 1 < l.d_in) to[r].y = rows[r][first + 1];
        if (first + 2 < l.d_in) to[r].z = rows[r][first + 2];
        if (first + 3 < l.d_in) to[r].w = rows[r][first + 3];
      }
    }
  };

  float sums[2][kLinearOutputs / 8][4] = {}, squares[4] = {};
  float4 next[4];
  load(0, next);
  for (int k0 = 0; k0 < l.d_in; k0 += kLinearInputs) {
    __syncthreads();  // the last slab has been read
    const float4* from = reinterpret_cast<const float4*>(l.weight + size_t(output_block * slabs + k0 / kLinearInputs) * Packed::kSlab);
#pragma unroll 4
    for (int i = int(threadIdx.x); i < Packed::kSlab / 4; i += 32 * kLinearWarps) reinterpret_cast<float4*>(slab)[i] = from[i];
    __syncthreads();
#pragma unroll 1
    for (int k = 0; k < kLinearInputs && k0 + k < l.d_in; k += 16) {
      float values[2][2][4];  // of the two products' left sides
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const float4 v = next[r];
        squares[r] = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, squares[r]))));
        values[r / 2][0][r % 2] = v.x, values[r / 2][0][2 + r % 2] = v.y, values[r / 2][1][r % 2] = v.z, values[r / 2][1][2 + r % 2] = v.w;
      }
      if (k0 + k + 16 < l.d_in) load(k0 + k + 16, next);
      const Left<kPrecision> left[2] = {Left<kPrecision>(values[0]), Left<kPrecision>(values[1])};
#pragma unroll
      for (int tile = 0; tile < kLinearOutputs / 8; ++tile) {
        if (first_output + 8 * tile >= l.d_out) continue;
        const Right<kPrecision> right = packed_right<kPrecision>(slab + (tile * (kLinearInputs / 16) + k / 16) * Packed::kFragment, lane);
        multiply_add(sums[0][tile], left[0], right);
        multiply_add(sums[1][tile], left[1], right);
      }
    }
  }

  const bool pairs = l.out_stride % 2 == 0 && l.d_out % 2 == 0 && reinterpret_cast<uintptr_t>(l.out) % 8 == 0;
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    float scale = 1;
    if (l.normalise) {
      float sum = squares[r] + __shfl_xor_sync(0xffffffffu, squares[r], 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      scale = 1.0f / sqrtf(sum / float(l.d_in) + l.eps);
    }
    const size_t row = first_row + size_t(g + 8 * r);
    if (row >= l.rows) continue;
    float* to = l.out + row * size_t(l.out_stride);
#pragma unroll
    for (int tile = 0; tile < kLinearOutputs / 8; ++tile) {
      const int output = first_output + 8 * tile + 2 * t;
      if (output >= l.d_out) continue;
      const bool second = output + 1 < l.d_out;
      const float* sum = &sums[r / 2][tile][r % 2 * 2];
      float2 y{sum[0] * scale, sum[1] * scale};
      if (l.bias) {
        y.x += l.bias[output];
        if (second) y.y += l.bias[output + 1];
      }
      if (pairs) {
        float2& place = *reinterpret_cast<float2*>(to + output);
        if (l.accumulate) {
          const float2 before = place;
          y.x += before.x, y.y += before.y;
        }
        place = y;
      } else {
        to[output] = l.accumulate ? to[output] + y.x : y.x;
        if (second) to[output + 1] = l.accumulate ? to[output + 1] + y.y : y.y;
      }
    }
  }
}

}  // namespace coil::gpu
