// The recurrence of Mamba-3: data-dependent rotation of B and C, trapezoidal scan with one or several inputs and
// outputs per head, gate. Source: Lahoti et al. 2026 (Mamba-3). ssm/verify/reference.cpp has the equations.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/kernels/mamba3.cpp"
#include "hwy/foreach_target.h"

#include "hwy/highway.h"
#include "ssm/kernels/separate-inl.h"
#include "ssm/kernels/math-inl.h"
#include "ssm/kernels/loops-inl.h"
#include "ssm/kernels/two_floats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Turns the angles of a head by speed dt / 2, wrapped to [-1/2, 1/2]. In double precision, because what one frame
// rounds away adds up: a stream that repeats itself rounds the same way in each frame.
inline void TurnAngles(const Mamba3Kernel& m, size_t frame, size_t head, float* HWY_RESTRICT angles,
                       float* HWY_RESTRICT rests) {
  const hn::CappedTag<double, kHalfPad> d;
  const size_t step = frame * m.step_stride;
  const auto half_dt = hn::Set(d, 0.5 * (double(m.dt[step + head]) + double(m.dt_rest[step + head])));
  for (size_t i = 0; i < m.angle_width; i += hn::Lanes(d)) {
    const auto speed = LoadTwoFloats(d, m.speed + step + i, m.speed_rest + step + i);
    const auto angle = hn::MulAdd(speed, half_dt, LoadTwoFloats(d, angles + i, rests + i));
    StoreTwoFloats(d, hn::Sub(angle, hn::Round(angle)), angles + i, rests + i);
  }
}

// One row of B or C with its bias, rotated. It writes past its end; the following data is written later.
template <class D>
HWY_INLINE void RotateRow(D d, const Mamba3Kernel& m, const float* HWY_RESTRICT x, const float* HWY_RESTRICT bias,
                          const float* HWY_RESTRICT cosine, const float* HWY_RESTRICT sine, float* HWY_RESTRICT out) {
  for (size_t i = 0; i < m.half; i += hn::Lanes(d)) {
    const auto a = hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, bias + i));
    const auto c = hn::LoadU(d, cosine + i), s = hn::LoadU(d, sine + i);
    const auto b = hn::Add(hn::LoadU(d, x + m.half + i), hn::LoadU(d, bias + m.half + i));
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, out + i);
  }
  for (size_t i = 0; i < m.half; i += hn::Lanes(d)) {
    const auto a = hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, bias + i));
    const auto c = hn::LoadU(d, cosine + i), s = hn::LoadU(d, sine + i);
    const auto b = hn::Add(hn::LoadU(d, x + m.half + i), hn::LoadU(d, bias + m.half + i));
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, out + m.half + i);
  }
}

inline constexpr size_t kMaxAngles = 2048;  // half of the largest d_state

void Mamba3Rotate(const Mamba3Kernel& m, Runs runs) {
  WithTag(m.angle_width, [&](auto d) HWY_ATTR {
    alignas(kAlignment) float cosine[kMaxAngles], sine[kMaxAngles];
    const size_t row_floats = m.heads * m.rank * m.bc_width, heads_in_group = m.heads / m.groups;
    ForEachRun(runs, [&](size_t run, size_t first) HWY_ATTR {
      float* state = runs[run].scan_state;
      for (size_t t = first; t < first + runs[run].frames; ++t) {
        for (size_t head = 0; head < m.heads; ++head) {
          float* angles = state + m.angle_at + head * m.angle_width;
          TurnAngles(m, t, head, angles, state + m.rest_at + head * m.angle_width);
          for (size_t i = 0; i < m.angle_width; i += hn::Lanes(d)) {
            const auto both = CosSinOfTurns(d, hn::LoadU(d, angles + i));
            hn::StoreU(both.cosine, d, cosine + i);
            hn::StoreU(both.sine, d, sine + i);
          }
          for (size_t r = 0; r < m.rank; ++r) {
            const size_t x = t * m.stride + (r * m.groups + head / heads_in_group) * m.bc_width,
                         bias = (head * m.rank + r) * m.bc_width, to = t * row_floats + bias;
            RotateRow(d, m, m.B + x, m.B_bias + bias, cosine, sine, m.K + to);
            RotateRow(d, m, m.C + x, m.C_bias + bias, cosine, sine, m.Q + to);
          }
        }
      }
    });
  });
}

// kStates states of one vector of channels of one head. The first tile initialises y with D v, later tiles add to it.
// kRank 0 means m.rank, at most kMaxMimoRank.
inline constexpr size_t kMaxMimoRank = 16;

template <size_t kStates, size_t kPanel, size_t kRank, bool kOutput, class D>
HWY_INLINE void Mamba3Tile(D d, const Mamba3Kernel& m, const Run& run, size_t row, size_t head, size_t n0, size_t c) {
  using V = hn::Vec<D>;
  constexpr size_t kRanks = kRank ? kRank : kMaxMimoRank;
  const size_t rank = kRank ? kRank : m.rank, width = m.bc_width, row_floats = m.heads * rank * width;
  float* state = run.scan_state + head * m.channels * m.d_state + (c / kPanel * m.d_state + n0) * kPanel + c % kPanel;
  const float *k_before = run.scan_state + m.k_at + head * rank * width + n0,
              *v_before = run.scan_state + m.v_at + head * m.channels + c;
  const float *k = m.K + row * row_floats + head * rank * width + n0, *q = m.Q + (k - m.K),
              *v = m.v + row * m.stride + head * m.channels + c;
  float* y = kOutput ? m.y + ((row * m.heads + head) * rank) * m.channels + c : nullptr;
  V h[kStates], up[kRanks], before[kRanks], now[kRanks];
  for (size_t n = 0; n < kStates; ++n) h[n] = hn::LoadU(d, state + n * kPanel);
  for (size_t r = 0; r < rank; ++r)
    up[r] = m.mimo_x ? hn::LoadU(d, m.mimo_x + (head * rank + r) * m.channels + c) : hn::Set(d, 1.0f);
  for (size_t t = row; t < row + run.frames; ++t) {
    const size_t step = t * m.step_stride + head;
    const V e = hn::Set(d, m.decay[step]), x = hn::LoadU(d, v);
    const V old_x = hn::Mul(hn::Set(d, m.beta[step]), hn::LoadU(d, v_before)),
            new_x = hn::Mul(hn::Set(d, m.gamma[step]), x);
    for (size_t r = 0; r < rank; ++r) before[r] = hn::Mul(old_x, up[r]), now[r] = hn::Mul(new_x, up[r]);
    V sum[kRanks][2];
    for (size_t r = 0; r < rank; ++r) sum[r][0] = sum[r][1] = hn::Zero(d);
    for (size_t n = 0; n < kStates; ++n) {
      V added = hn::MulAdd(e, h[n], h[n]);  // (1 + e) h, without rounding of 1 + e
      for (size_t r = 0; r < rank; ++r) {
        added = hn::MulAdd(before[r], hn::Set(d, k_before[r * width + n]), added);
        added = hn::MulAdd(now[r], hn::Set(d, k[r * width + n]), added);
      }
      h[n] = added;
      if constexpr (kOutput)
        for (size_t r = 0; r < rank; ++r)
          sum[r][n % 2] = hn::MulAdd(hn::Set(d, q[r * width + n]), added, sum[r][n % 2]);
    }
    if constexpr (kOutput) {
      const V direct = hn::Mul(hn::Set(d, m.D[head]), x);
      for (size_t r = 0; r < rank; ++r) {
        float* out = y + r * m.channels;
        const V start = n0 == 0 ? hn::Mul(direct, up[r]) : hn::LoadU(d, out);
        hn::StoreU(hn::Add(start, hn::Add(sum[r][0], sum[r][1])), d, out);
      }
      y += m.heads * rank * m.channels;
    }
    k_before = k, v_before = v;
    k += row_floats, q += row_floats, v += m.stride;
  }
  for (size_t n = 0; n < kStates; ++n) hn::StoreU(h[n], d, state + n * kPanel);
}

// Saves this run's last frame for the next call. The padding of the states' rows stays 0.
inline void KeepLast(const Mamba3Kernel& m, const Run& run, size_t last) {
  const size_t rows = m.heads * m.rank;
  for (size_t r = 0; r < rows; ++r) {
    const float* k = m.K + (last * rows + r) * m.bc_width;
    float* to = run.scan_state + m.k_at + r * m.bc_width;
    for (size_t n = 0; n < m.d_state; ++n) to[n] = k[n];
  }
  for (size_t i = 0; i < m.heads * m.channels; ++i) run.scan_state[m.v_at + i] = m.v[last * m.stride + i];
}

template <size_t kRank, bool kOutput>
HWY_INLINE void Mamba3Heads(const Mamba3Kernel& m, Runs runs) {
  WithPanels(m.channels, [&](auto d, auto panel) HWY_ATTR {
    ForEachRun(runs, [&](size_t r, size_t row) HWY_ATTR {
      if (runs[r].frames == 0) return;
      for (size_t head = 0; head < m.heads; ++head)
        for (size_t c = 0; c < m.channels; c += hn::Lanes(d)) {
          size_t n = 0;
          if constexpr (kRank != 1) {
            for (; n + 4 <= m.d_state; n += 4) Mamba3Tile<4, panel, kRank, kOutput>(d, m, runs[r], row, head, n, c);
          } else {
            if constexpr (kManyRegisters)
              for (; n + 16 <= m.d_state; n += 16)
                Mamba3Tile<16, panel, kRank, kOutput>(d, m, runs[r], row, head, n, c);
            for (; n + 8 <= m.d_state; n += 8) Mamba3Tile<8, panel, kRank, kOutput>(d, m, runs[r], row, head, n, c);
          }
          for (; n < m.d_state; ++n) Mamba3Tile<1, panel, kRank, kOutput>(d, m, runs[r], row, head, n, c);
        }
      KeepLast(m, runs[r], row + runs[r].frames - 1);
    });
  });
}

template <bool kOutput>
HWY_INLINE void Mamba3Ranks(const Mamba3Kernel& m, Runs runs) {
  if (m.rank == 1) return Mamba3Heads<1, kOutput>(m, runs);
  if (m.rank == 4) return Mamba3Heads<4, kOutput>(m, runs);
  Mamba3Heads<0, kOutput>(m, runs);
}

void Mamba3Scan(const Mamba3Kernel& m, Runs runs) { Mamba3Ranks<true>(m, runs); }
void Mamba3End(const Mamba3Kernel& m, Runs runs) { Mamba3Ranks<false>(m, runs); }

void MimoGate(const float* y, size_t y_stride, const float* z, size_t z_stride, const float* z_weight,
              const float* o_weight, size_t rank, float* out, size_t out_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) HWY_ATTR {
    const auto gate = hn::LoadU(d, z + t * z_stride + c);
    auto sum = hn::Zero(d);
    for (size_t r = 0; r < rank; ++r) {
      const auto value = hn::LoadU(d, y + t * y_stride + r * width + c);
      const auto weight = hn::LoadU(d, z_weight + r * width + c), back = hn::LoadU(d, o_weight + r * width + c);
      sum = hn::MulAdd(hn::Mul(value, Silu(d, hn::Mul(gate, weight))), back, sum);
    }
    hn::StoreU(sum, d, out + t * out_stride + c);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();
