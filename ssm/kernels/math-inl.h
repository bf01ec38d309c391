// exp2, exp, sigmoid, silu, softplus, tanh and erf on SIMD vectors: own minimax polynomials (Lawson's algorithm, relative error), bounds
// stated per function and tested in tests/unit.
#if defined(COIL_SSM_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_MATH_INL_H_
#undef COIL_SSM_KERNELS_MATH_INL_H_
#else
#define COIL_SSM_KERNELS_MATH_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls f(d) with the widest vectors that divide a padded width.
template <class F>
HWY_INLINE void WithTag(size_t width, const F& f) {
  const hn::ScalableTag<float> full;
  if constexpr (HWY_MAX_BYTES > 32) {
    if (width % hn::Lanes(full) != 0) return f(hn::CappedTag<float, kHalfPad>());
  }
  f(full);
}

// Adding it rounds to a whole number, which then stands in the low mantissa bits.
inline constexpr float kRound = 0x1.8p23f;

// p 2^n for p in [0.5, 2), where `rounded` = n + kRound and n is in [-126, 127]
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ScaleByExponent(D d, V p, V rounded) {
  const hn::RebindToSigned<D> di;
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, rounded))));
}

// 2^f for f in [-0.5, 0.5]: relative error <= 1.1e-7 and exact value and slope at 0
template <class D, class V = hn::Vec<D>>
HWY_INLINE V PinnedExp2(D d, V f) {
  V p = hn::Set(d, 1.33003e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.66971e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.55056e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.24022282f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.693147181f));
  return hn::MulAdd(p, f, hn::Set(d, 1.0f));
}

#if HWY_TARGET == HWY_AVX3
// AVX-512 rounds, subtracts and scales by a power of two in single instructions, and underflows to 0 by itself.
HWY_INLINE __m512 Remainder(__m512 t) { return _mm512_reduce_ps(t, 0); }
HWY_INLINE __m256 Remainder(__m256 t) { return _mm256_reduce_ps(t, 0); }
HWY_INLINE __m512 Scale(__m512 p, __m512 n) { return _mm512_scalef_ps(p, n); }
HWY_INLINE __m256 Scale(__m256 p, __m256 n) { return _mm256_scalef_ps(p, n); }
#endif

// 2^t for t <= 0, for decays: relative error <= 2.5e-7, exactly 1 at 0, and p'(0) = ln 2 so that 1 - 2^t keeps its accuracy for small t.
// Below -126 it is at most 2^-126.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V DecayExp2(D d, V t) {
#if HWY_TARGET == HWY_AVX3
  const V f{Remainder(t.raw)};
  return V{Scale(PinnedExp2(d, f).raw, hn::Sub(t, f).raw)};
#else
  t = hn::Max(t, hn::Set(d, -126.0f));
  const V rounded = hn::Add(t, hn::Set(d, kRound));
  const V f = hn::Sub(t, hn::Sub(rounded, hn::Set(d, kRound)));
  return ScaleByExponent(d, PinnedExp2(d, f), rounded);
#endif
}

// e^x for x in [-87, 88], clamped outside: relative error <= 4e-7 with FMA, <= 6e-6 at the ends without.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  x = hn::Min(hn::Max(x, hn::Set(d, -87.0f)), hn::Set(d, 88.0f));
  const V rounded = hn::MulAdd(x, hn::Set(d, 1.44269504f), hn::Set(d, kRound));
  const V n = hn::Sub(rounded, hn::Set(d, kRound));
  V f = hn::NegMulAdd(n, hn::Set(d, 0x1.62e4p-1f), x);  // ln 2 in two parts, the first exact in products with n
  f = hn::NegMulAdd(n, hn::Set(d, 0x1.7f7d1cp-20f), f);
  f = hn::Mul(f, hn::Set(d, 1.44269504f));
  V p = hn::Set(d, 1.53211544e-4f);
  p = hn::MulAdd(p, f, hn::Set(d, 1.33901615e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 9.61852631e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.55036225e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.240226475f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.693147181f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  return ScaleByExponent(d, p, rounded);
}

// 1 / (1 + e^-x): relative error <= 1e-6 for x >= -87
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

// x sigmoid(x); clamped where it is 0 to float32, before e^-x stops growing with x
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Silu(D d, V x) {
  x = hn::Max(x, hn::Set(d, -88.0f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Neg(x))));
}

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|): relative error <= 1e-6, also for very negative x (to -87)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Softplus(D d, V x) {
  const V u = Exp(d, hn::Neg(hn::Abs(x)));
  V p = hn::Set(d, 0.005232687827f);  // log1p(u) / u on [0, 1]
  p = hn::MulAdd(p, u, hn::Set(d, -0.029505212978f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.078225909859f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.136632422295f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.191060050837f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.248429817849f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.333190967536f));
  p = hn::MulAdd(p, u, hn::Set(d, -0.499994931379f));
  p = hn::MulAdd(p, u, hn::Set(d, 1.0f));
  return hn::MulAdd(p, u, hn::Max(x, hn::Zero(d)));
}

// Odd rational function: relative error <= 5e-7. Clamped at 7.9, where tanh is 1 - 2.8e-7, so that rounding never takes it past 1.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Tanh(D d, V x) {
  x = hn::Min(hn::Max(x, hn::Set(d, -7.9f)), hn::Set(d, 7.9f));
  const V s = hn::Mul(x, x);
  V p = hn::Set(d, 1.3319068798e-8f);
  p = hn::MulAdd(p, s, hn::Set(d, 2.0583478072e-5f));
  p = hn::MulAdd(p, s, hn::Set(d, 3.4940343156e-3f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.13379717715f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.99999997901f));
  V q = hn::Set(d, 7.7620178995e-7f);
  q = hn::MulAdd(q, s, hn::Set(d, 3.2830924776e-4f));
  q = hn::MulAdd(q, s, hn::Set(d, 0.025871072210f));
  q = hn::MulAdd(q, s, hn::Set(d, 0.46713032953f));
  q = hn::MulAdd(q, s, hn::Set(d, 1.0f));
  return hn::Div(hn::Mul(x, p), q);
}

// Odd rational function on |x| <= 3.93, where erf is 1 to float32: relative error <= 1e-6
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Erf(D d, V x) {
  x = hn::Min(hn::Max(x, hn::Set(d, -3.93f)), hn::Set(d, 3.93f));
  const V s = hn::Mul(x, x);
  V p = hn::Set(d, 2.0419715577e-6f);
  p = hn::MulAdd(p, s, hn::Set(d, 2.8480872082e-4f));
  p = hn::MulAdd(p, s, hn::Set(d, 3.7796108809e-3f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.052790290944f));
  p = hn::MulAdd(p, s, hn::Set(d, 0.19078385847f));
  p = hn::MulAdd(p, s, hn::Set(d, 1.1283791454f));
  V q = hn::Set(d, 3.8004089263e-5f);
  q = hn::MulAdd(q, s, hn::Set(d, 1.1652132771e-3f));
  q = hn::MulAdd(q, s, hn::Set(d, 0.014997440447f));
  q = hn::MulAdd(q, s, hn::Set(d, 0.11425753499f));
  q = hn::MulAdd(q, s, hn::Set(d, 0.50241051182f));
  q = hn::MulAdd(q, s, hn::Set(d, 1.0f));
  return hn::Div(hn::Mul(x, p), q);
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
