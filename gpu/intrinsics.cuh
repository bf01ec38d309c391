// The instructions that CUDA C++ has no portable spelling for, one function each.
#pragma once

#include <cuda_runtime.h>

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

// Waits for the `kThreads` threads of group `group` of the block; a group is whole warps.
template <int kThreads>
__device__ inline void sync_group(int group) {
  if constexpr (kThreads == 32) __syncwarp();
  else asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(kThreads) : "memory");
}

__device__ inline float* dynamic_shared() {
  extern __shared__ float4 dynamic_shared_memory[];
  return reinterpret_cast<float*>(dynamic_shared_memory);
}

}  // namespace coil::gpu
