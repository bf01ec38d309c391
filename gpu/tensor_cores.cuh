// Matrix products of a warp, (16, 8) += (16, 16) (16, 8), on the tensor cores in the chosen precision.
//
// With g = lane / 4 and t = lane % 4 a lane holds, for the two halves `step` of the 16 inputs,
//   of the left side    [step][0] (g, t), [1] (g + 8, t), [2] (g, t + 4), [3] (g + 8, t + 4)
//   of the right side   [step][0] (t, g), [1] (t + 4, g)
//   of the sums         [0] (g, 2 t), [1] (g, 2 t + 1), [2] (g + 8, 2 t), [3] (g + 8, 2 t + 1)
// The order of a product's inputs is free, as long as both sides agree. So the sums of one product can become a side of
// the next without leaving their lanes.
#pragma once

#include "gpu/intrinsics.cuh"
#include "gpu/precision.h"

namespace coil::gpu {

template <Precision kPrecision, int kCount>
struct Operand {
  float values[2][kCount];
  Operand() = default;
  __device__ explicit Operand(const float (&x)[2][kCount]) {
#pragma unroll
    for (int step = 0; step < 2; ++step)
#pragma unroll
      for (int i = 0; i < kCount; ++i) values[step][i] = round_to_tf32(x[step][i]);
  }
};

template <int kCount>
struct Operand<Precision::float32, kCount> {
  float high[2][kCount], low[2][kCount];
  Operand() = default;
  __device__ explicit Operand(const float (&x)[2][kCount]) {
#pragma unroll
    for (int step = 0; step < 2; ++step)
#pragma unroll
      for (int i = 0; i < kCount; ++i)
        high[step][i] = round_to_tf32(x[step][i]), low[step][i] = x[step][i] - high[step][i];
  }
};

// The halves of a register are inputs t and t + 4 of a step.
template <int kCount>
struct Operand<Precision::bf16, kCount> {
  uint32_t pairs[2][kCount / 2];
  Operand() = default;
  __device__ explicit Operand(const float (&x)[2][kCount]) {
#pragma unroll
    for (int step = 0; step < 2; ++step)
#pragma unroll
      for (int i = 0; i < kCount / 2; ++i) pairs[step][i] = pack_bf16(x[step][i], x[step][i + kCount / 2]);
  }
};

template <Precision kPrecision>
using Left = Operand<kPrecision, 4>;
template <Precision kPrecision>
using Right = Operand<kPrecision, 2>;

// Rows in memory, `kRow` floats apart, as sides of a product over 16 of their values: 16 rows as the left side, or 8
// rows as the right side. A lane's values are four neighbours.
template <Precision kPrecision, int kRow>
__device__ Left<kPrecision> left_of_rows(const float* rows, int lane) {
  const float* row = rows + lane / 4 * kRow + lane % 4 * 4;
  const float4 upper = *reinterpret_cast<const float4*>(row), lower = *reinterpret_cast<const float4*>(row + 8 * kRow);
  return Left<kPrecision>({{upper.x, lower.x, upper.z, lower.z}, {upper.y, lower.y, upper.w, lower.w}});
}
template <Precision kPrecision, int kRow>
__device__ Right<kPrecision> right_of_rows(const float* rows, int lane) {
  const float4 row = *reinterpret_cast<const float4*>(rows + lane / 4 * kRow + lane % 4 * 4);
  return Right<kPrecision>({{row.x, row.z}, {row.y, row.w}});
}

// A product is the sum of this many tensor core products. Each waits for the previous one into the same sums. With
// several sums, interleaving their parts (`each_part`) keeps the tensor cores busy.
template <Precision kPrecision>
inline constexpr int kParts = kPrecision == Precision::float32 ? 6
                              : kPrecision == Precision::tf32  ? 2
                                                               : 1;

// Multiplies one pair of parts. The product of the two small parts is below float32's rounding error.
__device__ inline void multiply_add_part(int part, float (&sums)[4], const Left<Precision::float32>& a,
                                         const Right<Precision::float32>& b) {
  const int step = part / 3, product = part % 3;
  const auto& left = product == 0 ? a.low[step] : a.high[step];
  const auto& right = product == 1 ? b.low[step] : b.high[step];
  multiply_add_tf32(sums, left, right[0], right[1]);
}

__device__ inline void multiply_add_part(int part, float (&sums)[4], const Left<Precision::tf32>& a,
                                         const Right<Precision::tf32>& b) {
  multiply_add_tf32(sums, a.values[part], b.values[part][0], b.values[part][1]);
}

__device__ inline void multiply_add_part(int, float (&sums)[4], const Left<Precision::bf16>& a,
                                         const Right<Precision::bf16>& b) {
  multiply_add_bf16(sums, {a.pairs[0][0], a.pairs[0][1], a.pairs[1][0], a.pairs[1][1]}, b.pairs[0][0], b.pairs[1][0]);
}

// Calls f(part) for every part of a product.
template <Precision kPrecision, class F>
__device__ void each_part(const F& f) {
#pragma unroll
  for (int part = 0; part < kParts<kPrecision>; ++part) f(part);
}

template <Precision kPrecision>
__device__ void multiply_add(float (&sums)[4], const Operand<kPrecision, 4>& a, const Operand<kPrecision, 2>& b) {
  each_part<kPrecision>([&](int part) { multiply_add_part(part, sums, a, b); });
}

}  // namespace coil::gpu
