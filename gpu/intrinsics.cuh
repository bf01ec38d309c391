// Wrappers for instructions that CUDA C++ has no portable syntax for.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace coil::gpu {

// 2^x: largest error 2 units in the last place; results below 2^-126 are 0
__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// 1 / x: largest error 1 unit in the last place
__device__ inline float reciprocal_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Absolute error 2^-21 for angles in [-pi, pi], in radians
__device__ inline void sincos_fast(float angle, float& sine, float& cosine) {
  sine = __sinf(angle), cosine = __cosf(angle);
}

// Rounds to the 11 significant bits that tensor cores read of a float32. (The dedicated instruction expands to several
// on this hardware.)
__device__ inline float round_to_tf32(float x) { return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u); }

// sums (16, 8) += a (16, 8) b (8, 8) on the tensor cores, by a whole warp. With g = lane / 4 and t = lane % 4 a lane
// holds a: (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); b: (t, g), (t + 4, g); sums: (g, 2 t), (g, 2 t + 1), (g + 8,
// 2 t), (g + 8, 2 t + 1).
__device__ inline void multiply_add_tf32(float (&sums)[4], const float (&a)[4], float b0, float b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}

// Rounds two float32 to bf16; the first is in the lower half.
__device__ inline uint32_t pack_bf16(float first, float second) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}

struct PairsLeft {
  uint32_t pairs[4];
};

// sums (16, 8) += a (16, 16) b (16, 8). A lane holds pairs of neighbouring inputs, a: (g, 2 t), (g + 8, 2 t), (g, 2 t +
// 8), (g + 8, 2 t + 8); b: (2 t, g), (2 t + 8, g); sums as above.
__device__ inline void multiply_add_bf16(float (&sums)[4], const PairsLeft& a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b0), "r"(b1));
}

// Rounds two float32 to float16, the first in the lower half; and the reverse.
__device__ inline uint32_t pack_f16(float first, float second) {
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
}
__device__ inline float2 unpack_f16(uint32_t pair) {
  float2 values;
  asm("{\n\t.reg .b16 first, second;\n\tmov.b32 {first, second}, %2;\n\tcvt.f32.f16 %0, first;\n\tcvt.f32.f16 %1, "
      "second;\n\t}"
      : "=f"(values.x), "=f"(values.y)
      : "r"(pair));
  return values;
}

// As multiply_add_bf16, for float16.
__device__ inline void multiply_add_f16(float (&sums)[4], const PairsLeft& a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a.pairs[0]), "r"(a.pairs[1]), "r"(a.pairs[2]), "r"(a.pairs[3]), "r"(b0), "r"(b1));
}

// A single store to global memory. The compiler would split it if another branch stores the same values one by one.
__device__ inline void store_vector(float* to, float4 v) {
  asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w) : "memory");
}

// Copies 16 bytes from global to shared memory, both aligned, without waiting.
__device__ inline void copy_async(const float* from, float* to) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from)
               : "memory");
}

// Waits until all copies of this thread are complete.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Loads the cache line at `p`, a valid address, into L2.
__device__ inline void prefetch(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

// All copies of this thread since the last group form a new group.
__device__ inline void end_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all but this thread's `kLeft` newest groups are complete.
template <int kLeft>
__device__ inline void wait_for_copy_groups() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Waits for the `kThreads` threads of group `group` of the block; a group consists of whole warps.
template <int kThreads>
__device__ inline void sync_group(int group) {
  if constexpr (kThreads == 32)
    __syncwarp();
  else
    asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(kThreads) : "memory");
}

// Barrier `id` (1 to 15) of the block opens when `threads` threads have come, in whole warps. arrive_at does not wait.
__device__ inline void wait_at(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ inline void arrive_at(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ inline float* dynamic_shared() {
  extern __shared__ float4 dynamic_shared_memory[];
  return reinterpret_cast<float*>(dynamic_shared_memory);
}

}  // namespace coil::gpu
