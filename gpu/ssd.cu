// Starts the kernels of SSD.
#include "gpu/ssd.h"

#include <algorithm>

#include "gpu/ssd_kernels.cuh"

namespace coil::gpu {
namespace {

// Warps of a block at most, blocks of a multiprocessor, and tiles of a span, which hold registers: as the registers of 16 warps allow.
constexpr int kMaxWarps = 8;
template <Precision kPrecision, int kStates>
constexpr int kBlocks = kStates > 16 ? 2 : 3;
template <Precision kPrecision, int kStates>
constexpr int kTiles = kStates > 64 && kPrecision != Precision::bf16 ? 1 : 2;

template <Precision kPrecision, int kStates, bool kTrue>
void start(const Ssd& s, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  // the most warps that share a chunk's channels evenly
  int warps = kMaxWarps;
  while (s.group_channels / 16 % warps != 0) --warps;
  const int parts = s.channels / (16 * warps);
  int heads = 0;
  for (int part = 0; part < parts; ++part) {
    const int first = part * 16 * warps;
    heads = std::max(heads, (first + 16 * warps - 1) / s.headdim - first / s.headdim + 1);
  }
  auto* kernel = ssd_chunks<kPrecision, kStates, kTiles<kPrecision, kStates>, kTrue, kMaxWarps, kBlocks<kPrecision, kStates>>;
  const size_t bytes = SsdShared<kPrecision, kStates, kTiles<kPrecision, kStates>>{heads, warps, kTrue, kTrue && s.z}.floats() * sizeof(float);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
  launch(kernel, unsigned(plan.chunk_count) * unsigned(parts), unsigned(32 * warps), bytes, stream, s, scratch.carry, scratch.sums, plan.chunks,
         plan.chunk_frames, parts);
}

template <Precision kPrecision, int kStates>
void run_as(const Ssd& s, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  if (plan.chunk_count > plan.signal_count) start<kPrecision, kStates, false>(s, scratch, plan, stream);
  const DecayFactor factor{scratch.sums, s.headdim * s.d_state, s.channels / s.headdim};
  join_chunks(factor, JoinBuffers<float>{s.channels * s.d_state, scratch.carry, scratch.ends, scratch.factors, s.table, s.table_stride}, plan, stream);
  start<kPrecision, kStates, true>(s, scratch, plan, stream);
}

template <Precision kPrecision>
void run_in(const Ssd& s, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  if (s.d_state <= 16) run_as<kPrecision, 16>(s, scratch, plan, stream);
  else if (s.d_state <= 64) run_as<kPrecision, 64>(s, scratch, plan, stream);
  else run_as<kPrecision, 128>(s, scratch, plan, stream);
}

}  // namespace

bool serves_ssd(int headdim, int group_channels, int d_state) { return headdim % 8 == 0 && group_channels % 16 == 0 && d_state <= 128; }

void run_ssd(const Ssd& s, Precision precision, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  switch (precision) {
    case Precision::float32: return run_in<Precision::float32>(s, scratch, plan, stream);
    case Precision::tf32: return run_in<Precision::tf32>(s, scratch, plan, stream);
    case Precision::bf16: return run_in<Precision::bf16>(s, scratch, plan, stream);
  }
}

}  // namespace coil::gpu
