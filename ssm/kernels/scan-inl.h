// The recurrences: S4D filter banks, the selective scan of Mamba-1, the SSD scan of Mamba-2. SIMD lanes are channels.
// The states of one vector of channels stay in registers over the whole block.
#if defined(COIL_SSM_KERNELS_SCAN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_SCAN_INL_H_
#undef COIL_SSM_KERNELS_SCAN_INL_H_
#else
#define COIL_SSM_KERNELS_SCAN_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"
#include "ssm/kernels/math-inl.h"
#include "ssm/kernels/pointwise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ---- S4D: y = Re(c h) + D u, h' = z h + u. Source: Gu, Gupta, Goel, Re 2022, eq. 3 and 4, with B and z folded into c
// and the output's share of u into D.

// kModes modes of one vector of channels. Their coefficients are loaded once for all runs, because they are twice as
// large as a state. The first tile initialises y with D u, later tiles add to it.
template <size_t kModes, size_t kPanel, bool kComplex, bool kOutput, class D>
HWY_INLINE void S4dTile(D d, const S4dKernel& bank, Runs runs, size_t mode, size_t c, const float* x, size_t x_stride,
                        float* y, size_t y_stride) {
  using V = hn::Vec<D>;
  const size_t first = (c / kPanel * bank.modes + mode) * kPanel + c % kPanel, plane = bank.channels * bank.modes;
  V z_re[kModes], z_im[kModes], c_re[kModes], c_im[kModes], h_re[kModes], h_im[kModes];
  for (size_t m = 0; m < kModes; ++m) {
    const size_t at = first + m * kPanel;
    z_re[m] = hn::LoadU(d, bank.z_re + at), c_re[m] = hn::LoadU(d, bank.c_re + at);
    if constexpr (kComplex) z_im[m] = hn::LoadU(d, bank.z_im + at), c_im[m] = hn::LoadU(d, bank.c_im + at);
  }
  const V direct = hn::LoadU(d, bank.D + c);
  const float* in = x + c;
  float* out = y + c;
  for (size_t r = 0; r < runs.size(); ++r) {
    float *re_state = runs[r].scan_state + first, *im_state = re_state + plane;
    const float* next = NextRun(runs, r).scan_state + first;
    for (size_t m = 0; m < kModes; ++m) {
      h_re[m] = hn::LoadU(d, re_state + m * kPanel);
      hwy::Prefetch(next + m * kPanel);
      if constexpr (kComplex) h_im[m] = hn::LoadU(d, im_state + m * kPanel), hwy::Prefetch(next + plane + m * kPanel);
    }
    for (size_t t = 0; t < runs[r].frames; ++t, in += x_stride, out += y_stride) {
      const V u = hn::LoadU(d, in);
      if constexpr (kOutput) {
        // separate sums for real and imaginary parts, to halve the dependency chain
        V sum = mode == 0 ? hn::Mul(direct, u) : hn::LoadU(d, out);
        if constexpr (kComplex) {
          V imaginary = hn::Mul(c_im[0], h_im[0]);
          for (size_t m = 1; m < kModes; ++m) imaginary = hn::MulAdd(c_im[m], h_im[m], imaginary);
          sum = hn::Sub(sum, imaginary);
        }
        V real = hn::Mul(c_re[0], h_re[0]);
        for (size_t m = 1; m < kModes; ++m) real = hn::MulAdd(c_re[m], h_re[m], real);
        hn::StoreU(hn::Add(sum, real), d, out);
      }
      for (size_t m = 0; m < kModes; ++m) {
        if constexpr (kComplex) {
          const V re = hn::MulAdd(z_re[m], h_re[m], hn::NegMulAdd(z_im[m], h_im[m], u));
          h_im[m] = hn::MulAdd(z_re[m], h_im[m], hn::Mul(z_im[m], h_re[m]));
          h_re[m] = re;
        } else {
          h_re[m] = hn::MulAdd(z_re[m], h_re[m], u);
        }
      }
    }
    for (size_t m = 0; m < kModes; ++m) {
      hn::StoreU(h_re[m], d, re_state + m * kPanel);
      if constexpr (kComplex) hn::StoreU(h_im[m], d, im_state + m * kPanel);
    }
  }
}

template <bool kComplex, bool kOutput>
HWY_INLINE void S4dBlock(const S4dKernel& bank, Runs runs, const float* x, size_t x_stride, float* y, size_t y_stride) {
  WithPanels(bank.channels, [&](auto d, auto panel) HWY_ATTR {
    for (size_t c = 0; c < bank.channels; c += hn::Lanes(d)) {
      size_t mode = 0;
      for (; mode + 4 <= bank.modes; mode += 4)
        S4dTile<4, panel, kComplex, kOutput>(d, bank, runs, mode, c, x, x_stride, y, y_stride);
      for (; mode < bank.modes; ++mode)
        S4dTile<1, panel, kComplex, kOutput>(d, bank, runs, mode, c, x, x_stride, y, y_stride);
    }
  });
}

HWY_NOINLINE void S4d(const S4dKernel& bank, Runs runs, const float* x, size_t x_stride, float* y, size_t y_stride) {
  if (bank.z_im)
    S4dBlock<true, true>(bank, runs, x, x_stride, y, y_stride);
  else
    S4dBlock<false, true>(bank, runs, x, x_stride, y, y_stride);
}

HWY_NOINLINE void S4dEnd(const S4dKernel& bank, Runs runs, const float* x, size_t x_stride) {
  if (bank.z_im)
    S4dBlock<true, false>(bank, runs, x, x_stride, nullptr, 0);
  else
    S4dBlock<false, false>(bank, runs, x, x_stride, nullptr, 0);
}

// ---- Mamba-1: h[n] = e^(dt A[n]) h[n] + dt B[n] u, y = sum_n C[n] h[n] + D u. Source: Gu & Dao 2023, eq. 2 to 4.

// 2^t h + x B without rounding 2^t to a number near 1, which would change long time constants
template <class D, class V = hn::Vec<D>>
HWY_INLINE V DecayAndAdd(D d, V t, V h, V x, V B) {
  const Exp2Parts<V> decay = SplitDecay(d, t);
  return hn::MulAdd(decay.scale, hn::MulAdd(decay.rest, h, h), hn::Mul(x, B));
}

template <size_t kStates, size_t kPanel, bool kOutput, bool kConstantB, bool kConstantC, class D>
HWY_INLINE void SelectiveTile(D d, const ScanKernel& s, Runs runs, size_t n0, size_t c) {
  using V = hn::Vec<D>;
  const size_t first = (c / kPanel * s.d_state + n0) * kPanel + c % kPanel, stride = s.stride, bc_stride = s.bc_stride,
               y_stride = s.y_stride;
  const float *a = s.a + first, *dt_row = s.dt + c, *u_row = s.u + c;
  const float *B = kConstantB ? nullptr : s.B + n0, *B_constant = kConstantB ? s.B_constant + first : nullptr;
  const float *C = kConstantC ? nullptr : s.C + n0, *C_constant = kConstantC ? s.C_constant + first : nullptr;
  float* y = kOutput ? s.y + c : nullptr;
  const V direct = hn::LoadU(d, s.D + c);
  for (size_t r = 0; r < runs.size(); ++r) {
    float* state = runs[r].scan_state + first;
    const float* next = NextRun(runs, r).scan_state + first;
    V h[kStates];
    for (size_t n = 0; n < kStates; ++n) {
      h[n] = hn::LoadU(d, state + n * kPanel);
      hwy::Prefetch(next + n * kPanel);
    }
    for (size_t t = 0; t < runs[r].frames; ++t, dt_row += stride, u_row += stride) {
      const V dt = hn::LoadU(d, dt_row), u = hn::LoadU(d, u_row), dtu = hn::Mul(dt, u);
      V sum[2] = {hn::Zero(d), hn::Zero(d)};  // two sums, to halve the dependency chain
      for (size_t n = 0; n < kStates; ++n) {
        const V b = kConstantB ? hn::LoadU(d, B_constant + n * kPanel) : hn::Set(d, B[n]);
        h[n] = DecayAndAdd(d, hn::Mul(dt, hn::LoadU(d, a + n * kPanel)), h[n], dtu, b);
        if constexpr (kOutput)
          sum[n % 2] =
              hn::MulAdd(kConstantC ? hn::LoadU(d, C_constant + n * kPanel) : hn::Set(d, C[n]), h[n], sum[n % 2]);
      }
      if constexpr (kOutput) {
        const V start = n0 == 0 ? hn::Mul(direct, u) : hn::LoadU(d, y);
        hn::StoreU(hn::Add(start, hn::Add(sum[0], sum[1])), d, y);
        y += y_stride;
      }
      if constexpr (!kConstantB) B += bc_stride;
      if constexpr (!kConstantC) C += bc_stride;
    }
    for (size_t n = 0; n < kStates; ++n) hn::StoreU(h[n], d, state + n * kPanel);
  }
}

template <bool kOutput, bool kConstantB, bool kConstantC>
HWY_INLINE void SelectiveBlock(const ScanKernel& s, Runs runs) {
  WithPanels(s.channels, [&](auto d, auto panel) HWY_ATTR {
    for (size_t c = 0; c < s.channels; c += hn::Lanes(d)) {
      size_t n = 0;
      if constexpr (kManyRegisters)
        for (; n + 8 <= s.d_state; n += 8) SelectiveTile<8, panel, kOutput, kConstantB, kConstantC>(d, s, runs, n, c);
      for (; n + 4 <= s.d_state; n += 4) SelectiveTile<4, panel, kOutput, kConstantB, kConstantC>(d, s, runs, n, c);
      for (; n < s.d_state; ++n) SelectiveTile<1, panel, kOutput, kConstantB, kConstantC>(d, s, runs, n, c);
    }
  });
}

template <bool kOutput>
HWY_INLINE void SelectiveDispatch(const ScanKernel& s, Runs runs) {
  if (s.B_constant && s.C_constant)
    SelectiveBlock<kOutput, true, true>(s, runs);
  else if (s.B_constant)
    SelectiveBlock<kOutput, true, false>(s, runs);
  else if (s.C_constant)
    SelectiveBlock<kOutput, false, true>(s, runs);
  else
    SelectiveBlock<kOutput, false, false>(s, runs);
}

HWY_NOINLINE void SelectiveScanBlock(const ScanKernel& s, Runs runs) { SelectiveDispatch<true>(s, runs); }
HWY_NOINLINE void SelectiveScanEnd(const ScanKernel& s, Runs runs) { SelectiveDispatch<false>(s, runs); }

// ---- Mamba-2: as above with one decay a head. Source: Dao & Gu 2024, sec. 3.

// kHeads: every vector of channels belongs to one head, whose values are broadcast; else each channel has its own
// values. `row`: the run's first row.
template <size_t kStates, size_t kPanel, bool kHeads, bool kOutput, class D>
HWY_INLINE void SsdTile(D d, const SsdKernel& s, const Run& run, const float* next, size_t row, size_t n0, size_t c,
                        size_t head) {
  using V = hn::Vec<D>;
  const size_t first = s.first_state + (c / kPanel * s.d_state + n0) * kPanel + c % kPanel;
  const float *decay = s.decay + row * s.stride + head, *dt = s.dt + row * s.dt_stride + head,
              *u_row = s.u + row * s.u_stride + c;
  const float *B = s.B + row * s.bc_stride + n0, *C = s.C + row * s.bc_stride + n0;
  float *y = kOutput ? s.y + row * s.y_stride + c : nullptr, *state = run.scan_state + first;
  const V direct = hn::LoadU(d, s.D + c);
  V h[kStates];
  for (size_t n = 0; n < kStates; ++n) {
    h[n] = hn::LoadU(d, state + n * kPanel);
    hwy::Prefetch(next + first + n * kPanel);
  }
  for (size_t t = 0; t < run.frames; ++t) {
    const V u = hn::LoadU(d, u_row), e = kHeads ? hn::Set(d, *decay) : hn::LoadU(d, decay);
    const V dtu = hn::Mul(kHeads ? hn::Set(d, *dt) : hn::LoadU(d, dt), u);
    V sum[2] = {hn::Zero(d), hn::Zero(d)};
    for (size_t n = 0; n < kStates; ++n) {
      h[n] = hn::MulAdd(e, h[n], hn::MulAdd(dtu, hn::Set(d, B[n]), h[n]));  // (1 + e) h, without rounding of 1 + e
      if constexpr (kOutput) sum[n % 2] = hn::MulAdd(hn::Set(d, C[n]), h[n], sum[n % 2]);
    }
    if constexpr (kOutput) {
      const V start = n0 == 0 ? hn::Mul(direct, u) : hn::LoadU(d, y);
      hn::StoreU(hn::Add(start, hn::Add(sum[0], sum[1])), d, y);
      y += s.y_stride;
    }
    decay += s.stride, dt += s.dt_stride, u_row += s.u_stride, B += s.bc_stride, C += s.bc_stride;
  }
  for (size_t n = 0; n < kStates; ++n) hn::StoreU(h[n], d, state + n * kPanel);
}

template <bool kHeads, bool kOutput>
HWY_INLINE void SsdChannels(const SsdKernel& s, Runs runs) {
  WithPanels(s.channels, [&](auto d, auto panel) HWY_ATTR {
    ForEachRun(runs, [&](size_t r, size_t row) HWY_ATTR {
      const Run run = runs[r];
      const float* next = NextRun(runs, r).scan_state;
      size_t head = 0, in_head = 0;
      for (size_t c = 0; c < s.channels; c += hn::Lanes(d)) {
        if constexpr (!kHeads) head = c;
        size_t n = 0;
        if constexpr (kManyRegisters)
          for (; n + 16 <= s.d_state; n += 16) SsdTile<16, panel, kHeads, kOutput>(d, s, run, next, row, n, c, head);
        for (; n + 8 <= s.d_state; n += 8) SsdTile<8, panel, kHeads, kOutput>(d, s, run, next, row, n, c, head);
        for (; n < s.d_state; ++n) SsdTile<1, panel, kHeads, kOutput>(d, s, run, next, row, n, c, head);
        in_head += hn::Lanes(d);
        if (kHeads && in_head == s.headdim) ++head, in_head = 0;
      }
    });
  });
}

template <bool kOutput>
HWY_INLINE void SsdDispatch(const SsdKernel& s, Runs runs) {
  if (s.headdim)
    SsdChannels<true, kOutput>(s, runs);
  else
    SsdChannels<false, kOutput>(s, runs);
}

HWY_NOINLINE void SsdBlock(const SsdKernel& s, Runs runs) { SsdDispatch<true>(s, runs); }
HWY_NOINLINE void SsdEnd(const SsdKernel& s, Runs runs) { SsdDispatch<false>(s, runs); }

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
