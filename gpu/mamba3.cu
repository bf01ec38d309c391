// Launches the kernels of Mamba-3's recurrence.
#include "gpu/mamba3.h"

#include <algorithm>

#include "gpu/mamba3_bf16.h"
#include "gpu/mamba3_kernels.cuh"

namespace coil::gpu {
namespace {

constexpr int kMaxWarps = 4, kBlocks = 3;  // warps per block; blocks per multiprocessor, limited by registers
// The number of tiles per span, as for SSD (gpu/ssd.cu).
template <Precision kPrecision, int kStates>
constexpr int kTiles = kStates <= 16 || (kStates > 64 && kPrecision != Precision::bf16) ? 1 : 2;

template <Precision kPrecision, int kStates, bool kTrue>
void run_chunks(const Mamba3Arguments& m, const Mamba3Scratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  if (kPrecision == Precision::bf16 && serves_mamba3_bf16(m)) return run_mamba3_bf16(m, kTrue, scratch, plan, stream);
  constexpr int kTilesHere = kTiles<kPrecision, kStates>;
  constexpr auto* kernel = mamba3_chunks<kPrecision, kStates, kTilesHere, kTrue, kMaxWarps, kBlocks>;
  const int slices = (m.headdim + 15) / 16, warps = std::min(slices, kMaxWarps), parts = (slices + warps - 1) / warps;
  const Mamba3Shared<kPrecision, kStates, kTilesHere> shared{warps, m.rank,       m.angles,
                                                             kTrue, kTrue && m.z, m.mimo_x != nullptr};
  const size_t bytes = shared.floats() * sizeof(float);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
  launch(kernel, unsigned(plan.chunk_count) * unsigned(m.heads * parts), unsigned(32 * warps), bytes, stream, m,
         scratch.carry, scratch.sums, scratch.turns, plan.chunks, plan.chunk_frames, parts);
}

// Calls f<precision, states>() with the kernel's number of states.
template <class F>
void with_kernels(const Mamba3Arguments& m, Precision precision, const F& f) {
  with_precision(precision, [&]<Precision kPrecision>() {
    if (m.d_state <= 16) return f.template operator()<kPrecision, 16>();
    if (m.d_state <= 64) return f.template operator()<kPrecision, 64>();
    return f.template operator()<kPrecision, 128>();
  });
}

// A warp per row and head.
__global__ void __launch_bounds__(kElementThreads) gate_heads(Mamba3Gate a, size_t rows) {
  const size_t warp = (size_t(blockIdx.x) * kElementThreads + threadIdx.x) / 32;
  const int lane = int(threadIdx.x) % 32;
  if (warp >= rows * size_t(a.heads)) return;
  const size_t row = warp / size_t(a.heads), inner = size_t(a.heads * a.headdim);
  const int head = int(warp % size_t(a.heads)), first = head * a.headdim;
  const auto y = [&](int r, int p) { return a.y[(row * size_t(a.rank) + size_t(r)) * inner + size_t(first + p)]; };
  float scales[kMamba3Ranks];
  for (int r = 0; r < a.rank; ++r) {
    float sum = 0;
    for (int p = lane; a.norm && p < a.headdim; p += 32) sum = fmaf(y(r, p), y(r, p), sum);
    for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
    scales[r] = a.norm ? 1.0f / sqrtf(sum / float(a.headdim) + a.eps) : 1.0f;
  }
  for (int p = lane; p < a.headdim; p += 32) {
    const float z = a.z[row * size_t(a.z_stride) + size_t(first + p)], weight = a.norm ? a.norm[first + p] : 1.0f;
    float sum = 0;
    for (int r = 0; r < a.rank; ++r) {
      const int at = (head * a.rank + r) * a.headdim + p;
      sum = fmaf(y(r, p) * scales[r] * weight * gate_of<Precision::float32>(a.mimo_z ? z * a.mimo_z[at] : z),
                 a.mimo_o ? a.mimo_o[at] : 1.0f, sum);
    }
    a.out[row * inner + size_t(first + p)] = sum;
  }
}

size_t aligned(size_t floats) { return (floats + 3) / 4 * 4; }

void run_angles(const Mamba3Arguments& m, const Mamba3Scratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  const int angles = m.heads * m.angles;
  const unsigned threads = plan.chunk_frames < 1024 ? kTurnThreads / 4 : kTurnThreads;
  launch(sum_turns, unsigned(plan.chunk_count * m.heads), threads, threads * sizeof(uint64_t), stream, m, scratch.turns,
         scratch.totals, plan.chunks, plan.chunk_frames);
  const JoinBuffers<Turns> buffers{angles, reinterpret_cast<Turns*>(scratch.turns), m.table + m.angle_at,
                                   m.table_stride, m.rest_at - m.angle_at};
  join_chunks(NoFactor{}, buffers, plan, stream);
}

}  // namespace

size_t Mamba3Scratch::floats(const Extent& e, const Mamba3Arguments& m) {
  return aligned(e.chunks * size_t(m.channels() * m.d_state)) + aligned(e.chunks * size_t(m.heads)) +
         4 * e.chunks * size_t(m.heads * m.angles);
}

Mamba3Scratch::Mamba3Scratch(float* memory, const Extent& e, const Mamba3Arguments& m)
    : carry(memory),
      sums(carry + aligned(e.chunks * size_t(m.channels() * m.d_state))),
      turns(reinterpret_cast<uint64_t*>(sums + aligned(e.chunks * size_t(m.heads)))),
      totals(turns + e.chunks * size_t(m.heads * m.angles)) {}

void run_mamba3_gate(const Mamba3Gate& gate, size_t rows, cudaStream_t stream) {
  launch(gate_heads, blocks_of(rows * size_t(gate.heads) * 32, kElementThreads), kElementThreads, 0, stream, gate,
         rows);
}

void run_mamba3(const Mamba3Arguments& m, Precision precision, const Mamba3Scratch& scratch, const DevicePlan& plan,
                cudaStream_t stream) {
  run_angles(m, scratch, plan, stream);
  const unsigned parts = std::min(blocks_of(size_t(m.channels() * m.d_state), kElementThreads), 64u);
  launch(take_frame_before, unsigned(plan.signal_count) * parts, kElementThreads, 0, stream, m, plan.signals,
         plan.chunk_frames, int(parts));
  with_kernels(m, precision, [&]<Precision kPrecision, int kStates>() {
    if (plan.chunk_count > plan.signal_count) run_chunks<kPrecision, kStates, false>(m, scratch, plan, stream);
    const DecayFactor factor{scratch.sums, m.headdim * m.d_state, m.heads};
    join_chunks(factor, JoinBuffers<float>{m.channels() * m.d_state, scratch.carry, m.table + m.ssm_at, m.table_stride},
                plan, stream);
    run_chunks<kPrecision, kStates, true>(m, scratch, plan, stream);
  });
  launch(remember_frame, unsigned(plan.signal_count * m.heads), kElementThreads, size_t(m.angles) * sizeof(uint64_t),
         stream, m, scratch.turns, scratch.totals, plan.signals, plan.chunks, plan.chunk_frames);
}

}  // namespace coil::gpu
