// Launches the kernels of SSD.
#include "gpu/ssd.h"

#include <algorithm>

#include "gpu/ssd_kernels.cuh"

namespace coil::gpu {
namespace {

// The largest number of warps per block; blocks per multiprocessor, limited by registers.
constexpr int kMaxWarps = 8;
template <int kStates>
constexpr int kBlocks = kStates > 16 ? 2 : 3;
// The number of tiles per span. Two tiles halve the sequential steps between states. They are not worth it for few
// states, and do not fit the registers for many states in float32.
template <Precision kPrecision, int kStates>
constexpr int kTiles = kStates <= 16 || (kStates > 64 && kPrecision != Precision::bf16) ? 1 : 2;

template <Precision kPrecision, int kStates, bool kTrue>
class Blocks {
 public:
  static constexpr auto* kKernel =
      ssd_chunks<kPrecision, kStates, kTiles<kPrecision, kStates>, kTrue, kMaxWarps, kBlocks<kStates>>;
  int warps = kMaxWarps, parts;  // per block; blocks per chunk
  size_t bytes;                  // of shared memory

  // As many warps as divide a chunk's channels evenly and fit into the shared memory of a block.
  explicit Blocks(const SsdArguments& s) {
    const size_t limit = size_t(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
    while (warps > 1 && (s.group_channels / 16 % warps != 0 || bytes_of(s) > limit)) --warps;
    parts = s.channels / (16 * warps);
    bytes = bytes_of(s);
    check(cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
  }

  void start(const SsdArguments& s, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) const {
    launch(kKernel, unsigned(plan.chunk_count) * unsigned(parts), unsigned(32 * warps), bytes, stream, s, scratch.carry,
           scratch.sums, plan.chunks, plan.chunk_frames, parts);
  }

 private:
  size_t bytes_of(const SsdArguments& s) const {
    int heads = 0;  // the largest number of heads in a block
    for (int first = 0; first < s.channels; first += 16 * warps)
      heads = std::max(heads, (first + 16 * warps - 1) / s.headdim - first / s.headdim + 1);
    return SsdShared<kPrecision, kStates, kTiles<kPrecision, kStates>>{heads, warps, kTrue, kTrue && s.z}.floats() *
           sizeof(float);
  }
};

// Calls f<precision, states>() with the kernel's number of states.
template <class F>
void with_kernels(const SsdArguments& s, Precision precision, const F& f) {
  with_precision(precision, [&]<Precision kPrecision>() {
    if (s.d_state <= 16) return f.template operator()<kPrecision, 16>();
    if (s.d_state <= 64) return f.template operator()<kPrecision, 64>();
    return f.template operator()<kPrecision, 128>();
  });
}

}  // namespace

bool serves_ssd(int headdim, int group_channels, int d_state) {
  return headdim % 8 == 0 && group_channels % 16 == 0 && d_state <= 128;
}

void run_ssd(const SsdArguments& s, Precision precision, const ScanScratch& scratch, const DevicePlan& plan,
             cudaStream_t stream) {
  with_kernels(s, precision, [&]<Precision kPrecision, int kStates>() {
    if (plan.chunk_count > plan.signal_count) Blocks<kPrecision, kStates, false>(s).start(s, scratch, plan, stream);
    const DecayFactor factor{scratch.sums, s.headdim * s.d_state, s.channels / s.headdim};
    join_chunks(factor, JoinBuffers<float>{s.channels * s.d_state, scratch.carry, s.table, s.table_stride}, plan,
                stream);
    Blocks<kPrecision, kStates, true>(s).start(s, scratch, plan, stream);
  });
}

}  // namespace coil::gpu
