// Activations and operations of the scan in float32 on the device, with error bounds.
#pragma once

#include "gpu/intrinsics.cuh"

namespace coil::gpu {

inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

__device__ inline float4 add(const float4& a, const float4& b) { return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w}; }

// 1 / (1 + e^-x): relative error <= 1e-6 for x >= -10, below that 1e-7 of |x|; 0 where e^-x is infinite
__device__ inline float sigmoid(float x) { return reciprocal_fast(1.0f + exp2_fast(-kLog2E * x)); }

__device__ inline float silu(float x) { return x * sigmoid(x); }

// log(1 + e^x): relative error <= 1e-6 for x >= -10, also for tiny results, so that small time steps keep their
// accuracy. log1p(u) / u on [0, 1] is the polynomial of the CPU's kernels.
__device__ inline float softplus(float x) {
  const float u = exp2_fast(-kLog2E * fabsf(x));
  float p = 0.005232687827f;
  p = fmaf(p, u, -0.029505212978f);
  p = fmaf(p, u, 0.078225909859f);
  p = fmaf(p, u, -0.136632422295f);
  p = fmaf(p, u, 0.191060050837f);
  p = fmaf(p, u, -0.248429817849f);
  p = fmaf(p, u, 0.333190967536f);
  p = fmaf(p, u, -0.499994931379f);
  p = fmaf(p, u, 1.0f);
  return fmaf(p, u, fmaxf(x, 0.0f));
}

// x Phi(x). Source: Hendrycks & Gimpel 2016.
__device__ inline float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.707106781f)); }

// Its approximation by tanh, sec. 2 there.
__device__ inline float gelu_tanh(float x) {
  return 0.5f * x * (1.0f + tanhf(0.797884561f * fmaf(0.044715f * x * x, x, x)));
}

}  // namespace coil::gpu
