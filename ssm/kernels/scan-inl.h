// The recurrences: S4D filter banks, the selective scan of Mamba-1, the SSD scan of Mamba-2. Channels lie in SIMD lanes; the states of one
// vector of channels stay in registers over the whole block.
#if defined(COIL_SSM_KERNELS_SCAN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_SCAN_INL_H_
#undef COIL_SSM_KERNELS_SCAN_INL_H_
#else
#define COIL_SSM_KERNELS_SCAN_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"
#include "ssm/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ---- S4D: h' = z h + u, y = Re(c h') + D u. Source: Gu, Gupta, Goel, Re 2022, eq. 3 and 4, with B folded into c.

// kModes modes of one vector of channels over the block; the first tile starts y with D u, later ones add to it.
template <size_t kModes, size_t kPanel, bool kComplex, bool kOutput, class D>
HWY_INLINE void S4dTile(D d, const S4dKernel& bank, size_t mode, size_t c, const float* x, size_t x_stride, float* y, size_t y_stride,
                        size_t frames) {
  using V = hn::Vec<D>;
  const size_t first = state_index(c, mode, bank.channels, bank.modes);
  V z_re[kModes], z_im[kModes], c_re[kModes], c_im[kModes], h_re[kModes], h_im[kModes];
  for (size_t m = 0; m < kModes; ++m) {
    const size_t at = first + m * kPanel;
    z_re[m] = hn::LoadU(d, bank.z_re + at), h_re[m] = hn::LoadU(d, bank.h_re + at), c_re[m] = hn::LoadU(d, bank.c_re + at);
    if constexpr (kComplex) z_im[m] = hn::LoadU(d, bank.z_im + at), h_im[m] = hn::LoadU(d, bank.h_im + at), c_im[m] = hn::LoadU(d, bank.c_im + at);
  }
  const V direct = hn::LoadU(d, bank.D + c);
  for (size_t t = 0; t < frames; ++t) {
    const V u = hn::LoadU(d, x + t * x_stride + c);
    for (size_t m = 0; m < kModes; ++m) {
      if constexpr (kComplex) {
        const V re = hn::MulAdd(z_re[m], h_re[m], hn::NegMulAdd(z_im[m], h_im[m], u));
        h_im[m] = hn::MulAdd(z_re[m], h_im[m], hn::Mul(z_im[m], h_re[m]));
        h_re[m] = re;
      } else {
        h_re[m] = hn::MulAdd(z_re[m], h_re[m], u);
      }
    }
    if constexpr (kOutput) {
      // real and imaginary parts apart, to halve the chain of additions
      float* out = y + t * y_stride + c;
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
  }
  for (size_t m = 0; m < kModes; ++m) {
    const size_t at = first + m * kPanel;
    hn::StoreU(h_re[m], d, bank.h_re + at);
    if constexpr (kComplex) hn::StoreU(h_im[m], d, bank.h_im + at);
  }
}

template <bool kComplex, bool kOutput>
HWY_INLINE void S4dBlock(const S4dKernel& bank, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames) {
  WithPanels(bank.channels, [&](auto d, auto panel) HWY_ATTR {
    for (size_t c = 0; c < bank.channels; c += hn::Lanes(d)) {
      size_t mode = 0;
      for (; mode + 4 <= bank.modes; mode += 4) S4dTile<4, panel, kComplex, kOutput>(d, bank, mode, c, x, x_stride, y, y_stride, frames);
      for (; mode < bank.modes; ++mode) S4dTile<1, panel, kComplex, kOutput>(d, bank, mode, c, x, x_stride, y, y_stride, frames);
    }
  });
}

HWY_NOINLINE void S4d(const S4dKernel& bank, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames) {
  if (bank.z_im) S4dBlock<true, true>(bank, x, x_stride, y, y_stride, frames);
  else S4dBlock<false, true>(bank, x, x_stride, y, y_stride, frames);
}

HWY_NOINLINE void S4dEnd(const S4dKernel& bank, const float* x, size_t x_stride, size_t frames) {
  if (bank.z_im) S4dBlock<true, false>(bank, x, x_stride, nullptr, 0, frames);
  else S4dBlock<false, false>(bank, x, x_stride, nullptr, 0, frames);
}

// ---- Mamba-1: h[n] = e^(dt A[n]) h[n] + dt B[n] u, y = sum_n C[n] h[n] + D u. Source: Gu & Dao 2023, eq. 2 to 4.

// 2^t h + x B without ever rounding 2^t to a number near 1, which would change the length of long time constants
template <class D, class V = hn::Vec<D>>
HWY_INLINE V DecayAndAdd(D d, V t, V h, V x, V B) {
  const Exp2Parts<V> decay = SplitDecay(d, t);
  return hn::MulAdd(decay.scale, hn::MulAdd(decay.rest, h, h), hn::Mul(x, B));
}

template <size_t kStates, size_t kPanel, bool kOutput, bool kConstantB, bool kConstantC, class D>
HWY_INLINE void SelectiveTile(D d, const ScanKernel& s, size_t n0, size_t c) {
  using V = hn::Vec<D>;
  const size_t first = state_index(c, n0, s.channels, s.d_state);
  V h[kStates];
  for (size_t n = 0; n < kStates; ++n) h[n] = hn::LoadU(d, s.h + first + n * kPanel);
  const V direct = hn::LoadU(d, s.D + c);
  for (size_t t = 0; t < s.frames; ++t) {
    const V dt = hn::LoadU(d, s.dt + t * s.stride + c), u = hn::LoadU(d, s.u + t * s.stride + c);
    const V dtu = hn::Mul(dt, u);
    const float* B = kConstantB ? nullptr : s.B + t * s.bc_stride + n0;
    const float* C = kConstantC ? nullptr : s.C + t * s.bc_stride + n0;
    V sum[2] = {hn::Zero(d), hn::Zero(d)};  // two, to halve the chain of additions
    for (size_t n = 0; n < kStates; ++n) {
      const size_t at = first + n * kPanel;
      h[n] = DecayAndAdd(d, hn::Mul(dt, hn::LoadU(d, s.a + at)), h[n], dtu, kConstantB ? hn::LoadU(d, s.B_constant + at) : hn::Set(d, B[n]));
      if constexpr (kOutput) sum[n % 2] = hn::MulAdd(kConstantC ? hn::LoadU(d, s.C_constant + at) : hn::Set(d, C[n]), h[n], sum[n % 2]);
    }
    if constexpr (kOutput) {
      float* out = s.y + t * s.y_stride + c;
      const V start = n0 == 0 ? hn::Mul(direct, u) : hn::LoadU(d, out);
      hn::StoreU(hn::Add(start, hn::Add(sum[0], sum[1])), d, out);
    }
  }
  for (size_t n = 0; n < kStates; ++n) hn::StoreU(h[n], d, s.h + first + n * kPanel);
}

template <bool kOutput, bool kConstantB, bool kConstantC>
HWY_INLINE void SelectiveBlock(const ScanKernel& s) {
  WithPanels(s.channels, [&](auto d, auto panel) HWY_ATTR {
    for (size_t c = 0; c < s.channels; c += hn::Lanes(d)) {
      size_t n = 0;
      if constexpr (HWY_TARGET == HWY_AVX3)
        for (; n + 8 <= s.d_state; n += 8) SelectiveTile<8, panel, kOutput, kConstantB, kConstantC>(d, s, n, c);
      for (; n + 4 <= s.d_state; n += 4) SelectiveTile<4, panel, kOutput, kConstantB, kConstantC>(d, s, n, c);
      for (; n < s.d_state; ++n) SelectiveTile<1, panel, kOutput, kConstantB, kConstantC>(d, s, n, c);
    }
  });
}

template <bool kOutput>
HWY_INLINE void SelectiveDispatch(const ScanKernel& s) {
  if (s.B_constant && s.C_constant) SelectiveBlock<kOutput, true, true>(s);
  else if (s.B_constant) SelectiveBlock<kOutput, true, false>(s);
  else if (s.C_constant) SelectiveBlock<kOutput, false, true>(s);
  else SelectiveBlock<kOutput, false, false>(s);
}

HWY_NOINLINE void SelectiveScanBlock(const ScanKernel& s) { SelectiveDispatch<true>(s); }
HWY_NOINLINE void SelectiveScanEnd(const ScanKernel& s) { SelectiveDispatch<false>(s); }

// ---- Mamba-2: as above with one decay a head. Source: Dao & Gu 2024, sec. 3.

// kHeads: every vector of channels lies within one head, whose values are broadcast; else each channel has its own.
template <size_t kStates, size_t kPanel, bool kHeads, bool kOutput, class D>
HWY_INLINE void SsdTile(D d, const SsdKernel& s, size_t n0, size_t c) {
  using V = hn::Vec<D>;
  const size_t first = state_index(c, n0, s.channels, s.d_state);
  V h[kStates];
  for (size_t n = 0; n < kStates; ++n) h[n] = hn::LoadU(d, s.h + first + n * kPanel);
  const V direct = hn::LoadU(d, s.D + c);
  const size_t head = kHeads ? c / s.headdim : c;
  for (size_t t = 0; t < s.frames; ++t) {
    const V u = hn::LoadU(d, s.u + t * s.u_stride + c);
    V e, dt;
    if constexpr (kHeads) e = hn::Set(d, s.decay[t * s.stride + head]), dt = hn::Set(d, s.dt[t * s.dt_stride + head]);
    else e = hn::LoadU(d, s.decay + t * s.stride + head), dt = hn::LoadU(d, s.dt + t * s.dt_stride + head);
    const V dtu = hn::Mul(dt, u);
    const float *B = s.B + t * s.bc_stride + n0, *C = s.C + t * s.bc_stride + n0;
    V sum[2] = {hn::Zero(d), hn::Zero(d)};
    for (size_t n = 0; n < kStates; ++n) {
      h[n] = hn::MulAdd(e, h[n], hn::MulAdd(dtu, hn::Set(d, B[n]), h[n]));
      if constexpr (kOutput) sum[n % 2] = hn::MulAdd(hn::Set(d, C[n]), h[n], sum[n % 2]);
    }
    if constexpr (kOutput) {
      float* out = s.y + t * s.y_stride + c;
      const V start = n0 == 0 ? hn::Mul(direct, u) : hn::LoadU(d, out);
      hn::StoreU(hn::Add(start, hn::Add(sum[0], sum[1])), d, out);
    }
  }
  for (size_t n = 0; n < kStates; ++n) hn::StoreU(h[n], d, s.h + first + n * kPanel);
}

template <bool kHeads, bool kOutput>
HWY_INLINE void SsdChannels(const SsdKernel& s) {
  WithPanels(s.channels, [&](auto d, auto panel) HWY_ATTR {
    for (size_t c = 0; c < s.channels; c += hn::Lanes(d)) {
      size_t n = 0;
      if constexpr (HWY_TARGET == HWY_AVX3)
        for (; n + 16 <= s.d_state; n += 16) SsdTile<16, panel, kHeads, kOutput>(d, s, n, c);
      for (; n + 8 <= s.d_state; n += 8) SsdTile<8, panel, kHeads, kOutput>(d, s, n, c);
      for (; n < s.d_state; ++n) SsdTile<1, panel, kHeads, kOutput>(d, s, n, c);
    }
  });
}

template <bool kOutput>
HWY_INLINE void SsdDispatch(const SsdKernel& s) {
  if (s.headdim) SsdChannels<true, kOutput>(s);
  else SsdChannels<false, kOutput>(s);
}

HWY_NOINLINE void SsdBlock(const SsdKernel& s) { SsdDispatch<true>(s); }
HWY_NOINLINE void SsdEnd(const SsdKernel& s) { SsdDispatch<false>(s); }

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
