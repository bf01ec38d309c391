// Emulates gpu/intrinsics.cuh and CUDA's device functions on an emulated block. The operand layouts are those of the
// PTX manual.
#pragma once

#include <cuda_fp16.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tests/emulation/block.h"

using std::max;
using std::min;

inline void __syncthreads() { coil::emulation::Block::current().sync_block(); }
inline void __syncwarp() { coil::emulation::Block::current().sync_warp(); }

template <class T>
T __shfl_up_sync(unsigned, T value, unsigned back, int width = 32) {
  const int lane = int(coil::emulation::Block::current().lane()), from = lane - int(back);
  const auto all = coil::emulation::Block::current().exchange(value);
  return from < lane / width * width ? value : all[size_t(from)];
}
template <class T>
T __shfl_sync(unsigned, T value, int from, int width = 32) {
  const int lane = int(coil::emulation::Block::current().lane());
  return coil::emulation::Block::current().exchange(value)[size_t(lane / width * width + from)];
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  const int lane = int(coil::emulation::Block::current().lane());
  return coil::emulation::Block::current().exchange(value)[size_t(lane ^ mask)];
}

inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return std::bit_cast<float>(x); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = float(std::sin(M_PI * double(x))), *cosine = float(std::cos(M_PI * double(x)));
}
inline int __double2int_rn(double x) { return x >= 0x1p31 ? std::numeric_limits<int>::max() : int(std::lrint(x)); }
inline long long __double2ll_rn(double x) {
  return x >= 0x1p63 ? std::numeric_limits<long long>::max() : std::llrint(x);
}

namespace coil::gpu {

inline float exp2_fast(float x) { return std::exp2(x); }
inline float reciprocal_fast(float x) { return 1.0f / x; }
inline void sincos_fast(float angle, float& sine, float& cosine) { sine = std::sin(angle), cosine = std::cos(angle); }
inline float round_to_tf32(float x) {
  return std::bit_cast<float>((std::bit_cast<uint32_t>(x) + 0x1000u) & 0xffffe000u);
}

inline void multiply_add_tf32(float (&sums)[4], const float (&a)[4], float b0, float b1) {
  struct Operands {
    float a[4], b[2];
  };
  const auto all = emulation::Block::current().exchange(Operands{{a[0], a[1], a[2], a[3]}, {b0, b1}});
  const size_t lane = emulation::Block::current().lane(), g = lane / 4, t = lane % 4;
  const auto read = [](float x) { return double(std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0xffffe000u)); };
  for (size_t i = 0; i < 4; ++i) {
    const size_t row = g + 8 * (i / 2), column = 2 * t + i % 2;
    double sum = sums[i];
    for (size_t k = 0; k < 8; ++k)
      sum += read(all[row % 8 * 4 + k % 4].a[row / 8 + 2 * (k / 4)]) * read(all[column * 4 + k % 4].b[k / 4]);
    sums[i] = float(sum);
  }
}

inline uint32_t pack_bf16(float first, float second) {
  const auto rounded = [](float x) {
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  };
  return rounded(first) | rounded(second) << 16;
}

struct PairsLeft {
  uint32_t pairs[4];
};

// read(pair, k): the value of input k
template <class Read>
void multiply_add_pairs(float (&sums)[4], const PairsLeft& a, uint32_t b0, uint32_t b1, const Read& read) {
  struct Operands {
    PairsLeft a;
    uint32_t b[2];
  };
  const auto all = emulation::Block::current().exchange(Operands{a, {b0, b1}});
  const size_t lane = emulation::Block::current().lane(), g = lane / 4, t = lane % 4;
  for (size_t i = 0; i < 4; ++i) {
    const size_t row = g + 8 * (i / 2), column = 2 * t + i % 2;
    double sum = sums[i];
    for (size_t k = 0; k < 16; ++k) {
      const size_t holder = k % 8 / 2;
      sum += read(all[row % 8 * 4 + holder].a.pairs[row / 8 + 2 * (k / 8)], k) *
             read(all[column * 4 + holder].b[k / 8], k);
    }
    sums[i] = float(sum);
  }
}

inline void multiply_add_bf16(float (&sums)[4], const PairsLeft& a, uint32_t b0, uint32_t b1) {
  multiply_add_pairs(sums, a, b0, b1, [](uint32_t pair, size_t k) {
    return double(std::bit_cast<float>((k % 2 ? pair >> 16 : pair & 0xffffu) << 16));
  });
}

inline uint32_t pack_f16(float first, float second) {
  return __half_as_ushort(__float2half_rn(first)) | uint32_t(__half_as_ushort(__float2half_rn(second))) << 16;
}
inline float2 unpack_f16(uint32_t pair) {
  const auto value = [](uint32_t bits) { return __half2float(__ushort_as_half(static_cast<unsigned short>(bits))); };
  return {value(pair & 0xffffu), value(pair >> 16)};
}
inline void multiply_add_f16(float (&sums)[4], const PairsLeft& a, uint32_t b0, uint32_t b1) {
  multiply_add_pairs(sums, a, b0, b1, [](uint32_t pair, size_t k) {
    const float2 values = unpack_f16(pair);
    return double(k % 2 ? values.y : values.x);
  });
}

template <int kThreads>
void sync_group(int) {
  static_assert(kThreads == 32, "groups of one warp only");
  emulation::Block::current().sync_warp();
}

inline void wait_at(int id, int threads) { emulation::Block::current().wait_at(id, threads); }
inline void arrive_at(int id, int threads) { emulation::Block::current().arrive_at(id, threads); }

inline void store_vector(float* to, float4 v) { *reinterpret_cast<float4*>(to) = v; }
inline void copy_async(const float* from, float* to) { std::copy_n(from, 4, to); }
inline void wait_for_copies() {}
inline void prefetch(const void*) {}
inline void end_copy_group() {}
template <int kLeft>
void wait_for_copy_groups() {}
inline float* dynamic_shared() { return emulation::Block::current().shared(); }

}  // namespace coil::gpu
