// Launches the scan of Mamba-3 in bf16.
#include "gpu/mamba3_bf16.h"

#include "gpu/mamba3_bf16_kernels.cuh"

namespace coil::gpu {
namespace {

template <int kStates, int kRank, bool kTrue>
void start(const Mamba3Arguments& m, const Mamba3Scratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  constexpr auto* kernel = mamba3_bf16_chunks<kStates, kRank, kTrue>;
  const int users = m.headdim / 16;
  static_assert(FastShared<kStates, kRank>{4, true}.floats() * sizeof(float) <= 227 << 10);  // what a block can have
  const size_t bytes = FastShared<kStates, kRank>{users, kTrue}.floats() * sizeof(float);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(bytes)), "preparing a kernel");
  launch(kernel, unsigned(plan.chunk_count) * unsigned(m.heads / kFastHeads),
         unsigned(32 * (kFastMakers + kFastHeads * users)), bytes, stream, m, scratch.carry, scratch.sums,
         scratch.turns, plan.chunks, plan.chunk_frames);
}

}  // namespace

bool serves_mamba3_bf16(const Mamba3Arguments& m) {
  const bool sizes = (m.d_state == 64 || m.d_state == 128) && (m.headdim == 16 || m.headdim == 32 || m.headdim == 64) &&
                     m.heads / m.groups % kFastHeads == 0;
  const bool ranks = m.rank == 1 ? !m.halves && !m.mimo_x : m.rank == 4 && m.halves;
  const bool vectors = on_vectors(m.B, m.bc_stride) && on_vectors(m.C, m.bc_stride) && on_vectors(m.x, m.x_stride) &&
                       on_vectors(m.z, m.z_stride) && on_vectors(m.y, m.channels());
  const bool states = m.table_stride % 2 == 0 && m.ssm_at % 2 == 0 && reinterpret_cast<uintptr_t>(m.table) % 8 == 0;
  return sizes && ranks && m.z && vectors && states;
}

void run_mamba3_bf16(const Mamba3Arguments& m, bool true_states, const Mamba3Scratch& scratch, const DevicePlan& plan,
                     cudaStream_t stream) {
  const auto with_states = [&]<int kStates>() {
    if (m.rank == 1)
      (true_states ? start<kStates, 1, true> : start<kStates, 1, false>)(m, scratch, plan, stream);
    else
      (true_states ? start<kStates, 4, true> : start<kStates, 4, false>)(m, scratch, plan, stream);
  };
  if (m.d_state == 64)
    with_states.template operator()<64>();
  else
    with_states.template operator()<128>();
}

}  // namespace coil::gpu
