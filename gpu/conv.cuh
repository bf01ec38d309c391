// Causal convolution with silu for four channels in a thread's registers.
#pragma once

#include "gpu/conv.h"
#include "gpu/elements.cuh"
#include "gpu/math.cuh"

namespace coil::gpu {

inline constexpr int kQuadTaps = 4;  // the largest number of taps for the code below

// Whether a thread can process four channels: depends on sizes and alignment.
inline bool conv_in_quads(const ConvArguments& conv) {
  return conv.taps >= 1 && conv.taps <= kQuadTaps && on_vectors(conv.y, conv.y_stride, conv.channels);
}

struct ConvQuad {
  float4 weight[kQuadTaps], bias;  // weight: of the newest frame first

  // at(i): the four channels' weights for the frame `i` back; their bias if i is kQuadTaps.
  template <class At>
  __device__ explicit ConvQuad(const At& at) {
#pragma unroll
    for (int back = 0; back < kQuadTaps; ++back) weight[back] = at(back);
    bias = at(kQuadTaps);
  }

  // x0: the current frame; the others are the frames before it.
  __device__ float4 operator()(const float4& x0, const float4& x1, const float4& x2, const float4& x3) const {
    const auto &w0 = weight[0], &w1 = weight[1], &w2 = weight[2], &w3 = weight[3];
    return {silu(fmaf(w0.x, x0.x, fmaf(w1.x, x1.x, fmaf(w2.x, x2.x, fmaf(w3.x, x3.x, bias.x))))),
            silu(fmaf(w0.y, x0.y, fmaf(w1.y, x1.y, fmaf(w2.y, x2.y, fmaf(w3.y, x3.y, bias.y))))),
            silu(fmaf(w0.z, x0.z, fmaf(w1.z, x1.z, fmaf(w2.z, x2.z, fmaf(w3.z, x3.z, bias.z))))),
            silu(fmaf(w0.w, x0.w, fmaf(w1.w, x1.w, fmaf(w2.w, x2.w, fmaf(w3.w, x3.w, bias.w)))))};
  }
};

// The weight of channel c for the frame `back` back; its bias if back is kQuadTaps.
__device__ inline float conv_weight(const ConvArguments& conv, int back, int c) {
  if (back == kQuadTaps) return conv.bias ? conv.bias[c] : 0.0f;
  return back < conv.taps ? conv.weight[(conv.taps - 1 - back) * conv.channels + c] : 0.0f;
}

// Channels c to c + 3 of the `back`-th last frame in a signal's state; 0 beyond the convolution's taps.
__device__ inline float4 remembered_inputs(const ConvArguments& conv, int state, int c, int back) {
  if (back >= conv.taps) return {0, 0, 0, 0};
  const float* at = conv.table + size_t(state) * conv.table_stride + size_t((c + 1) * conv.taps - back);
  return {at[0], at[conv.taps], at[2 * conv.taps], at[3 * conv.taps]};
}

}  // namespace coil::gpu
