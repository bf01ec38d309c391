// Kernels of the causal convolution with silu.
#pragma once

#include "gpu/math.cuh"
#include "gpu/scan.h"

namespace coil::gpu {

inline constexpr int kConvThreads = 128, kConvRun = 16;  // frames that a thread runs through in conv_silu_vectors

// Four channels a thread: what the second kernel needs of sizes and places.
inline bool conv_in_vectors(const Conv& conv) {
  const auto on_vector = [](const float* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return conv.taps >= 1 && conv.taps <= 4 && conv.channels % 4 == 0 && conv.x_stride % 4 == 0 && conv.y_stride % 4 == 0 && on_vector(conv.x) &&
         on_vector(conv.y);
}

// A thread per value.
static __global__ void __launch_bounds__(kConvThreads) conv_silu(Conv conv, const Chunk* chunks, int chunk_frames) {
  const Chunk chunk = chunks[blockIdx.x];
  const size_t row = size_t(blockIdx.x) * size_t(chunk_frames);
  const int work = chunk.frames * conv.channels;
  const float* history = conv.table + size_t(chunk.state_in) * conv.table_stride;
  for (int i = int(blockIdx.y) * kConvThreads + int(threadIdx.x); i < work; i += int(gridDim.y) * kConvThreads) {
    const int t = i / conv.channels, c = i % conv.channels;
    const float* x = conv.x + (row + size_t(t)) * size_t(conv.x_stride) + size_t(c);
    float sum = conv.bias ? conv.bias[c] : 0.0f;
    if (conv.taps == 0) sum = *x;
    for (int j = 0; j < conv.taps; ++j) {
      const int back = conv.taps - 1 - j;
      const bool remembered = chunk.first && back > t;
      const float value = remembered ? history[c * conv.taps + conv.taps + t - back] : *(x - ptrdiff_t(back) * conv.x_stride);
      sum = fmaf(conv.weight[c * conv.taps + j], value, sum);
    }
    conv.y[(row + size_t(t)) * size_t(conv.y_stride) + size_t(c)] = silu(sum);
  }
}

// A thread runs four channels through kConvRun frames of a chunk, every input read once.
static __global__ void __launch_bounds__(kConvThreads) conv_silu_vectors(Conv conv, const Chunk* chunks, int chunk_frames) {
  const Chunk chunk = chunks[blockIdx.x];
  const int quads = conv.channels / 4, work = int(blockIdx.y) * kConvThreads + int(threadIdx.x), begin = work / quads * kConvRun, c = work % quads * 4;
  if (begin >= chunk.frames) return;
  const size_t row = size_t(blockIdx.x) * size_t(chunk_frames) + size_t(begin);
  const float* x = conv.x + row * size_t(conv.x_stride) + size_t(c);
  float* y = conv.y + row * size_t(conv.y_stride) + size_t(c);
  const float* history = conv.table + size_t(chunk.state_in) * conv.table_stride + size_t(c * conv.taps);

  float weight[4][4], bias[4], past[3][4];  // weight: [tap, the newest last][channel]; past: the three frames before
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    bias[i] = conv.bias ? conv.bias[c + i] : 0.0f;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int tap = j - (4 - conv.taps);
      weight[j][i] = tap >= 0 ? conv.weight[(c + i) * conv.taps + tap] : 0.0f;
    }
  }
#pragma unroll
  for (int j = 0; j < 3; ++j) {
    const int back = 3 - j;
    float4 v{0, 0, 0, 0};
    if (back < conv.taps) {
      if (begin == 0 && chunk.first) {
        const float* at = history + conv.taps - back;
        v = {at[0], at[conv.taps], at[2 * conv.taps], at[3 * conv.taps]};
      } else {
        v = *reinterpret_cast<const float4*>(x - ptrdiff_t(back) * conv.x_stride);
      }
    }
    past[j][0] = v.x, past[j][1] = v.y, past[j][2] = v.z, past[j][3] = v.w;
  }
  const int frames = min(kConvRun, chunk.frames - begin);
#pragma unroll 4
  for (int t = 0; t < frames; ++t) {
    const float4 v = *reinterpret_cast<const float4*>(x + ptrdiff_t(t) * conv.x_stride);
    const float now[4] = {v.x, v.y, v.z, v.w};
    float sum[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sum[i] = silu(fmaf(weight[3][i], now[i], fmaf(weight[2][i], past[2][i], fmaf(weight[1][i], past[1][i], fmaf(weight[0][i], past[0][i], bias[i])))));
      past[0][i] = past[1][i], past[1][i] = past[2][i], past[2][i] = now[i];
    }
    *reinterpret_cast<float4*>(y + ptrdiff_t(t) * conv.y_stride) = float4{sum[0], sum[1], sum[2], sum[3]};
  }
}

}  // namespace coil::gpu
