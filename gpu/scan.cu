// Kernels of the recurrences over chunks: one thread per channel, which keeps tiles of its states in registers over all
// frames of a chunk.
#include "gpu/elements.cuh"
#include "gpu/math.cuh"
#include "gpu/scan.h"

namespace coil::gpu {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / 32;

// ---- selective scan and SSD

constexpr int kTile = 16;  // states of a channel in registers

__global__ void __launch_bounds__(256)
    decay_minus_one(const float* a, const float* dt, int dt_stride, float* decay, int heads, size_t rows) {
  const size_t i = size_t(blockIdx.x) * 256 + threadIdx.x;
  if (i >= rows * size_t(heads)) return;
  const int head = int(i % size_t(heads));
  decay[i] = expm1f(dt[i / size_t(heads) * size_t(dt_stride) + size_t(head)] * a[head] * kLn2);
}

struct Place {
  size_t chunk;
  int channel;
};

// A warp per chunk and 32 channels; the last threads may be beyond both.
__device__ Place place_of_thread(int channels) {
  const size_t channel_blocks = size_t(channels + 31) / 32, warp = size_t(blockIdx.x) * kWarps + threadIdx.x / 32;
  return {warp / channel_blocks, int(warp % channel_blocks) * 32 + int(threadIdx.x) % 32};
}

// kTrue: from the chunk's true state, with outputs; else from zero, computing the chunk's end state and its sum of dt.
// Four values of B and C are read as one vector if the alignment allows it.
template <bool kOneDecay, bool kTrue, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    scan_chunks(ScanArguments s, ScanScratch scratch, const Chunk* chunks, int chunk_count, int chunk_frames) {
  const auto [index, c] = place_of_thread(s.channels);
  if (index >= size_t(chunk_count) || c >= s.channels) return;
  const Chunk chunk = chunks[index];
  if (!kTrue && chunk.last) return;
  const size_t row = index * size_t(chunk_frames);
  const int head = c / s.headdim, group = c / s.group_channels;
  const float D = s.D ? s.D[head] : 0.0f;
  float* carry = scratch.carry + (index * size_t(s.channels) + size_t(c)) * size_t(s.d_state);
  float* after = s.table + size_t(chunk.state_out) * s.table_stride + size_t(c) * size_t(s.d_state);

  for (int n0 = 0; n0 < s.d_state; n0 += kTile) {
    float h[kTile], a[kTile];
    for (int n = 0; n < kTile; ++n) {
      const bool inside = n0 + n < s.d_state;
      h[n] = kTrue && inside ? carry[n0 + n] : 0.0f;
      a[n] = !kOneDecay && inside ? s.a[size_t(c) * size_t(s.d_state) + size_t(n0 + n)] : 0.0f;
    }
    const float *dt_at = s.dt + row * size_t(s.dt_stride) + head, *u_at = s.u + row * size_t(s.u_stride) + c;
    const float* decay_at = kOneDecay ? s.decay + row * size_t(s.decay_stride) + head : nullptr;
    const float *B_at = s.B + row * size_t(s.bc_stride) + group * s.d_state + n0,
                *C_at = s.C + row * size_t(s.bc_stride) + group * s.d_state + n0;
    float* y_at = kTrue ? s.y + row * size_t(s.y_stride) + c : nullptr;
    float elapsed = 0;
    for (int t = 0; t < chunk.frames; ++t) {
      const float dt = *dt_at, u = *u_at, dtu = dt * u, decay = kOneDecay ? *decay_at : 0.0f;
      elapsed += dt;
      float sums[4] = {};
#pragma unroll
      for (int n = 0; n < kTile; n += 4) {
        float B[4], C[4];
        if constexpr (kVectors) {
          const float4 b4 = *reinterpret_cast<const float4*>(B_at + n);
          B[0] = b4.x, B[1] = b4.y, B[2] = b4.z, B[3] = b4.w;
          if constexpr (kTrue) {
            const float4 c4 = *reinterpret_cast<const float4*>(C_at + n);
            C[0] = c4.x, C[1] = c4.y, C[2] = c4.z, C[3] = c4.w;
          }
        } else {
          for (int i = 0; i < 4; ++i) {
            const bool inside = n0 + n + i < s.d_state;
            B[i] = inside ? B_at[n + i] : 0.0f;
            if constexpr (kTrue) C[i] = inside ? C_at[n + i] : 0.0f;
          }
        }
        for (int i = 0; i < 4; ++i) {
          if constexpr (kOneDecay)
            h[n + i] = fmaf(decay, h[n + i], fmaf(dtu, B[i], h[n + i]));  // (1 + decay) h, without rounding of 1 +
                                                                          // decay
          else
            h[n + i] = fmaf(exp2_fast(dt * a[n + i]), h[n + i], dtu * B[i]);
          if constexpr (kTrue) sums[i] = fmaf(C[i], h[n + i], sums[i]);
        }
      }
      if constexpr (kTrue) {
        const float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        *y_at = n0 == 0 ? fmaf(D, u, sum) : *y_at + sum;
        y_at += s.y_stride;
      }
      dt_at += s.dt_stride, u_at += s.u_stride, B_at += s.bc_stride, C_at += s.bc_stride;
      if constexpr (kOneDecay) decay_at += s.decay_stride;
    }
    for (int n = 0; n < kTile && n0 + n < s.d_state; ++n) {
      if (!kTrue)
        carry[n0 + n] = h[n];
      else if (chunk.last)
        after[n0 + n] = h[n];
    }
    if (!kTrue && n0 == 0 && c % s.headdim == 0)
      scratch.sums[index * size_t(s.channels / s.headdim) + size_t(head)] = elapsed;
  }
}

template <bool kOneDecay, bool kVectors>
void run_scan_as(const ScanArguments& s, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  const size_t warps = size_t(plan.chunk_count) * blocks_of(size_t(s.channels), 32);
  const auto launch_chunks = [&](auto* kernel) {
    launch(kernel, blocks_of(warps, kWarps), kThreads, 0, stream, s, scratch, plan.chunks, plan.chunk_count,
           plan.chunk_frames);
  };
  if (plan.chunk_count > plan.signal_count) launch_chunks(scan_chunks<kOneDecay, false, kVectors>);
  const int heads = s.channels / s.headdim, per_head = s.headdim * s.d_state;
  const SelectiveFactor factor{s.a, kOneDecay ? per_head : 1, scratch.sums, per_head, heads};
  join_chunks(factor, JoinBuffers<float>{s.channels * s.d_state, scratch.carry, s.table, s.table_stride}, plan, stream);
  launch_chunks(scan_chunks<kOneDecay, true, kVectors>);
}

// ---- S4D

constexpr int kModes = 8;

template <bool kComplex, bool kTrue>
__global__ void __launch_bounds__(kThreads)
    s4d_chunks(S4dArguments s, ScanScratch scratch, const Chunk* chunks, int chunk_count, int chunk_frames) {
  constexpr int kParts = kComplex ? 2 : 1;
  const auto [index, c] = place_of_thread(s.channels);
  if (index >= size_t(chunk_count) || c >= s.channels) return;
  const Chunk chunk = chunks[index];
  if (!kTrue && chunk.last) return;
  const size_t row = index * size_t(chunk_frames), states = size_t(s.modes) * kParts;
  float* carry = scratch.carry + (index * size_t(s.channels) + size_t(c)) * states;
  float* after = s.table + size_t(chunk.state_out) * s.table_stride + size_t(c) * states;

  for (int m0 = 0; m0 < s.modes; m0 += kModes) {
    float h_re[kModes], h_im[kModes], z_re[kModes], z_im[kModes], c_re[kModes], c_im[kModes];
    for (int m = 0; m < kModes; ++m) {
      const bool inside = m0 + m < s.modes;
      const size_t at = size_t(m0 + m) * kParts, weight = size_t(c) * states + at;
      h_re[m] = kTrue && inside ? carry[at] : 0.0f;
      z_re[m] = inside ? s.z[weight] : 0.0f;
      c_re[m] = inside ? s.c[weight] : 0.0f;
      h_im[m] = kComplex && kTrue && inside ? carry[at + 1] : 0.0f;
      z_im[m] = kComplex && inside ? s.z[weight + 1] : 0.0f;
      c_im[m] = kComplex && inside ? s.c[weight + 1] : 0.0f;
    }
    const float* u_at = s.u + row * size_t(s.u_stride) + c;
    float* y_at = kTrue ? s.y + row * size_t(s.y_stride) + c : nullptr;
    for (int t = 0; t < chunk.frames; ++t) {
      const float u = *u_at;
      float sums[2] = {};
#pragma unroll
      for (int m = 0; m < kModes; ++m) {
        const float re = fmaf(z_re[m], h_re[m], kComplex ? fmaf(-z_im[m], h_im[m], u) : u);
        if constexpr (kComplex) h_im[m] = fmaf(z_re[m], h_im[m], z_im[m] * h_re[m]);
        h_re[m] = re;
        if constexpr (kTrue)
          sums[m % 2] = fmaf(c_re[m], h_re[m], kComplex ? fmaf(-c_im[m], h_im[m], sums[m % 2]) : sums[m % 2]);
      }
      u_at += s.u_stride;
      if constexpr (kTrue) {
        const float sum = sums[0] + sums[1];
        *y_at = m0 == 0 ? fmaf(s.D[c], u, sum) : *y_at + sum;
        y_at += s.y_stride;
      }
    }
    for (int m = 0; m < kModes && m0 + m < s.modes; ++m) {
      float* to = kTrue ? after : carry;
      if (kTrue && !chunk.last) break;
      to[size_t(m0 + m) * kParts] = h_re[m];
      if constexpr (kComplex) to[size_t(m0 + m) * kParts + 1] = h_im[m];
    }
  }
}

template <bool kComplex>
void run_s4d_as(const S4dArguments& s, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  using Value = std::conditional_t<kComplex, float2, float>;
  const size_t warps = size_t(plan.chunk_count) * blocks_of(size_t(s.channels), 32);
  if (plan.chunk_count > plan.signal_count)
    launch(s4d_chunks<kComplex, false>, blocks_of(warps, kWarps), kThreads, 0, stream, s, scratch, plan.chunks,
           plan.chunk_count, plan.chunk_frames);
  const JoinBuffers<Value> buffers{s.channels * s.modes, reinterpret_cast<Value*>(scratch.carry), s.table,
                                   s.table_stride};
  join_chunks(ConstantFactor<Value>{reinterpret_cast<const Value*>(s.z_chunk)}, buffers, plan, stream);
  launch(s4d_chunks<kComplex, true>, blocks_of(warps, kWarps), kThreads, 0, stream, s, scratch, plan.chunks,
         plan.chunk_count, plan.chunk_frames);
}

size_t aligned(size_t floats) { return (floats + 3) / 4 * 4; }

}  // namespace

void run_decay(const float* a, const float* dt, int dt_stride, float* decay, int heads, size_t rows,
               cudaStream_t stream) {
  launch(decay_minus_one, blocks_of(rows * size_t(heads), 256), 256, 0, stream, a, dt, dt_stride, decay, heads, rows);
}

size_t ScanScratch::floats(const Extent& e, size_t states, size_t sums) {
  return aligned(e.chunks * states) + aligned(e.chunks * sums);
}

ScanScratch::ScanScratch(float* memory, const Extent& e, size_t states)
    : carry(memory), sums(carry + aligned(e.chunks * states)) {}

void run_scan(const ScanArguments& s, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  const bool vectors = s.d_state % kTile == 0 && on_vectors(s.B, s.bc_stride) && on_vectors(s.C, s.bc_stride);
  if (s.one_decay)
    (vectors ? run_scan_as<true, true> : run_scan_as<true, false>)(s, scratch, plan, stream);
  else
    (vectors ? run_scan_as<false, true> : run_scan_as<false, false>)(s, scratch, plan, stream);
}

void run_s4d(const S4dArguments& bank, const ScanScratch& scratch, const DevicePlan& plan, cudaStream_t stream) {
  (bank.complex ? run_s4d_as<true> : run_s4d_as<false>)(bank, scratch, plan, stream);
}

}  // namespace coil::gpu
