// Kernels of the causal convolution with silu.
#pragma once

#include "gpu/conv.cuh"

namespace coil::gpu {

inline constexpr int kConvThreads = 128, kConvRun = 16;  // kConvRun: frames per thread in conv_silu_vectors

// Whether sizes and alignment allow the second kernel.
inline bool conv_in_vectors(const ConvArguments& conv) {
  return conv_in_quads(conv) && on_vectors(conv.x, conv.x_stride);
}

// One thread per value.
static __global__ void __launch_bounds__(kConvThreads)
    conv_silu(ConvArguments conv, const Chunk* chunks, int chunk_frames) {
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
      const float value =
          remembered ? history[c * conv.taps + conv.taps + t - back] : *(x - ptrdiff_t(back) * conv.x_stride);
      sum = fmaf(conv.weight[j * conv.channels + c], value, sum);
    }
    conv.y[(row + size_t(t)) * size_t(conv.y_stride) + size_t(c)] = silu(sum);
  }
}

// A thread processes four channels over kConvRun frames of a chunk. It reads every input once, and kAhead frames before
// their use.
static __global__ void __launch_bounds__(kConvThreads)
    conv_silu_vectors(ConvArguments conv, const Chunk* chunks, int chunk_frames) {
  constexpr int kAhead = 8;
  const Chunk chunk = chunks[blockIdx.x];
  const int quads = conv.channels / 4, work = int(blockIdx.y) * kConvThreads + int(threadIdx.x),
            begin = work / quads * kConvRun, c = work % quads * 4;
  if (begin >= chunk.frames) return;
  const size_t row = size_t(blockIdx.x) * size_t(chunk_frames) + size_t(begin);
  const float* x = conv.x + row * size_t(conv.x_stride) + size_t(c);
  float* y = conv.y + row * size_t(conv.y_stride) + size_t(c);
  const int frames = min(kConvRun, chunk.frames - begin);
  const bool begins = begin == 0 && chunk.first;

  float4 in[kQuadTaps - 1 + kAhead];  // oldest first
#pragma unroll
  for (int i = 0; i < kQuadTaps - 1; ++i) {
    const int back = kQuadTaps - 1 - i;
    if (begins)
      in[i] = remembered_inputs(conv, chunk.state_in, c, back);
    else
      in[i] =
          back < conv.taps ? *reinterpret_cast<const float4*>(x - ptrdiff_t(back) * conv.x_stride) : float4{0, 0, 0, 0};
  }
  const ConvQuad quad([&](int back) {
    return float4{conv_weight(conv, back, c), conv_weight(conv, back, c + 1), conv_weight(conv, back, c + 2),
                  conv_weight(conv, back, c + 3)};
  });
  for (int first = 0; first < frames; first += kAhead) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      if (first + i < frames)
        in[kQuadTaps - 1 + i] = *reinterpret_cast<const float4*>(x + ptrdiff_t(first + i) * conv.x_stride);
#pragma unroll
    for (int i = 0; i < kAhead; ++i)
      if (first + i < frames)
        *reinterpret_cast<float4*>(y + ptrdiff_t(first + i) * conv.y_stride) =
            quad(in[i + 3], in[i + 2], in[i + 1], in[i]);
#pragma unroll
    for (int i = 0; i < kQuadTaps - 1; ++i) in[i] = in[kAhead + i];
  }
}

}  // namespace coil::gpu
