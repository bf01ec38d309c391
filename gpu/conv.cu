// Launches the kernels of the causal convolution.
#include "gpu/conv.h"

#include <algorithm>

#include "gpu/conv_kernels.cuh"

namespace coil::gpu {
namespace {

constexpr int kThreads = 128;

// Copies the last `taps` inputs of every signal to its history. One block per signal.
__global__ void __launch_bounds__(kThreads) remember_inputs(ConvArguments conv, DevicePlan plan) {
  const Signal signal = plan.signals[blockIdx.x];
  const size_t index = size_t(signal.first_chunk + signal.chunks - 1);
  const Chunk chunk = plan.chunks[index];
  const size_t end = index * size_t(plan.chunk_frames) + size_t(chunk.frames);
  const float* before = conv.table + size_t(chunk.state_in) * conv.table_stride;
  float* after = conv.table + size_t(chunk.state_out) * conv.table_stride;
  for (int i = int(threadIdx.x); i < conv.channels * conv.taps; i += kThreads) {
    const int c = i / conv.taps, j = i % conv.taps, back = conv.taps - j;  // frames before the end
    const bool remembered = chunk.first && back > chunk.frames;
    after[i] = remembered ? before[c * conv.taps + j + chunk.frames]
                          : conv.x[(end - size_t(back)) * size_t(conv.x_stride) + size_t(c)];
  }
}

}  // namespace

void run_conv(const ConvArguments& conv, const DevicePlan& plan, cudaStream_t stream) {
  const unsigned chunks = unsigned(plan.chunk_count);
  if (conv_in_vectors(conv)) {
    const unsigned runs = blocks_of(size_t(plan.chunk_frames), kConvRun);
    launch(conv_silu_vectors, dim3(chunks, blocks_of(size_t(conv.channels / 4) * runs, kConvThreads)), kConvThreads, 0,
           stream, conv, plan.chunks, plan.chunk_frames);
  } else {
    const size_t blocks_y =
        std::min<size_t>(blocks_of(size_t(plan.chunk_frames) * size_t(conv.channels), 4 * kConvThreads), 64);
    launch(conv_silu, dim3(chunks, unsigned(blocks_y)), kConvThreads, 0, stream, conv, plan.chunks, plan.chunk_frames);
  }
  if (conv.taps > 0) launch(remember_inputs, unsigned(plan.signal_count), kThreads, 0, stream, conv, plan);
}

}  // namespace coil::gpu
