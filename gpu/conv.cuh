// Four channels of the causal convolution with silu, in a thread's registers.
#pragma once

#include "gpu/math.cuh"
#include "gpu/scan.h"

namespace coil::gpu {

inline constexpr int kQuadTaps = 4;  // at most, of what follows

// Whether threads can run four channels each: by the sizes and places of the results.
inline bool conv_in_quads(const Conv& conv) {
  return conv.taps >= 1 && conv.taps <= kQuadTaps && conv.channels % 4 == 0 && conv.y_stride % 4 == 0 && reinterpret_cast<uintptr_t>(conv.y) % 16 == 0;
}

struct ConvQuad {
  float weight[kQuadTaps][4], bias[4];  // [frames back][channel]

  // Channels c to c + 3.
  __device__ ConvQuad(const Conv& conv, int c) {
#pragma unroll
    for (int back = 0; back < kQuadTaps; ++back) {
      float4 w{0, 0, 0, 0};
      if (back < conv.taps) w = *reinterpret_cast<const float4*>(conv.weight + (conv.taps - 1 - back) * conv.channels + c);
      weight[back][0] = w.x, weight[back][1] = w.y, weight[back][2] = w.z, weight[back][3] = w.w;
    }
    const float4 b = conv.bias ? *reinterpret_cast<const float4*>(conv.bias + c) : float4{0, 0, 0, 0};
    bias[0] = b.x, bias[1] = b.y, bias[2] = b.z, bias[3] = b.w;
  }

  // x: the frame and those before it, the newest first.
  __device__ float4 operator()(const float4& x0, const float4& x1, const float4& x2, const float4& x3) const {
    const auto channel = [&](int i, float a, float b, float c, float d) {
      return silu(fmaf(weight[0][i], a, fmaf(weight[1][i], b, fmaf(weight[2][i], c, fmaf(weight[3][i], d, bias[i])))));
    };
    return {channel(0, x0.x, x1.x, x2.x, x3.x), channel(1, x0.y, x1.y, x2.y, x3.y), channel(2, x0.z, x1.z, x2.z, x3.z), channel(3, x0.w, x1.w, x2.w, x3.w)};
  }
};

// Channels c to c + 3 of the frame `back` frames before the signal's part of the segment begins; 0 beyond the taps. history: the signal's.
__device__ inline float4 remembered_inputs(const Conv& conv, const float* history, int c, int back) {
  if (back >= conv.taps) return {0, 0, 0, 0};
  const float* at = history + (c + 1) * conv.taps - back;
  return {at[0], at[conv.taps], at[2 * conv.taps], at[3 * conv.taps]};
}

}  // namespace coil::gpu
