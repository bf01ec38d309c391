// exp2, exp, sigmoid, silu, softplus, tanh and erf on SIMD vectors. The minimax polynomials are our own (Lawson's
// algorithm, relative error). Each function states its error bound; tests/unit tests it.
#if defined(COIL_SSM_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_MATH_INL_H_
#undef COIL_SSM_KERNELS_MATH_INL_H_
#else
#define COIL_SSM_KERNELS_MATH_INL_H_
#endif

#include <type_traits>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;  // 32 registers instead of 16

// Calls f(d) with the widest vectors that divide a padded width.
template <class F>
HWY_INLINE void WithTag(size_t width, const F& f) {
  const hn::ScalableTag<float> full;
  if constexpr (HWY_MAX_BYTES > 32) {
    if (width % hn::Lanes(full) != 0) return f(hn::CappedTag<float, kHalfPad>());
  }
  f(full);
}

// Calls f(d, panel) with the widest vectors that divide a padded width. `panel` is the width of its panels
// (state_index) as a constant.
template <class F>
HWY_INLINE void WithPanels(size_t channels, const F& f) {
  const hn::ScalableTag<float> full;
  if (channels % kPad == 0) return f(full, std::integral_constant<size_t, kPad>());
  if constexpr (HWY_MAX_BYTES > 32)
    return f(hn::CappedTag<float, kHalfPad>(), std::integral_constant<size_t, kHalfPad>());
  f(full, std::integral_constant<size_t, kHalfPad>());
}

// 2^t = scale (1 + rest), where `rest` is small and keeps its relative accuracy near t = 0. So does 2^t - 1 = scale
// rest + (scale - 1).
template <class V>
struct Exp2Parts {
  V scale, rest;
};

#if HWY_TARGET == HWY_AVX3
// AVX-512 has single instructions for the remainder, the lookup of 16 powers and the scaling by a power of two. It
// underflows to 0 without a check.
HWY_INLINE __m512 Remainder(__m512 t) { return _mm512_reduce_ps(t, 4 << 4); }  // t - round(16 t) / 16
HWY_INLINE __m256 Remainder(__m256 t) { return _mm256_reduce_ps(t, 4 << 4); }
HWY_INLINE __m512 Scale(__m512 p, __m512 n) { return _mm512_scalef_ps(p, n); }  // p 2^floor(n)
HWY_INLINE __m256 Scale(__m256 p, __m256 n) { return _mm256_scalef_ps(p, n); }

alignas(64) inline constexpr float kPowers[16] = {
    1.0f,        1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f, 1.29683955f, 1.35425555f,
    1.41421356f, 1.47682615f, 1.54221083f, 1.61049033f, 1.68179283f, 1.75625216f, 1.83400809f, 1.91520656f};
HWY_INLINE __m512 Power(__m512 sixteenths) {
  return _mm512_permutexvar_ps(_mm512_castps_si512(sixteenths), _mm512_load_ps(kPowers));
}
HWY_INLINE __m256 Power(__m256 sixteenths) {
  return _mm256_permutex2var_ps(_mm256_load_ps(kPowers), _mm256_castps_si256(sixteenths), _mm256_load_ps(kPowers + 8));
}

// `correction`, if given, is added to the remainder: the part of t below its last bit. |rest| <= 0.022.
template <class D, class V = hn::Vec<D>, class... Correction>
HWY_INLINE Exp2Parts<V> SplitExp2(D d, V t, Correction... correction) {
  V f{Remainder(t.raw)};
  const V n = hn::Sub(t, f);
  const V sixteenths = hn::Add(n, hn::Set(d, 0x1.8p19f));  // 16 n is now in the low mantissa bits
  const V scale{Scale(Power(sixteenths.raw), n.raw)};
  ((f = hn::Add(f, correction)), ...);
  V q = hn::MulAdd(hn::Set(d, 5.550469e-2f), f, hn::Set(d, 0.24023355f));
  q = hn::MulAdd(q, f, hn::Set(d, 0.693147181f));
  return {scale, hn::Mul(q, f)};
}
#else
// For t in [-126, 127]. `correction`, if given, is added to the remainder: the part of t below its last bit. |rest| <=
// 0.42.
template <class D, class V = hn::Vec<D>, class... Correction>
HWY_INLINE Exp2Parts<V> SplitExp2(D d, V t, Correction... correction) {
  const hn::RebindToSigned<D> di;
  const V rounded = hn::Add(t, hn::Set(d, 0x1.8p23f));  // round(t) is now in the low mantissa bits
  V f = hn::Sub(t, hn::Sub(rounded, hn::Set(d, 0x1.8p23f)));
  ((f = hn::Add(f, correction)), ...);
  const V scale =
      hn::BitCast(d, hn::Add(hn::BitCast(di, hn::Set(d, 1.0f)), hn::ShiftLeft<23>(hn::BitCast(di, rounded))));
  V q = hn::MulAdd(hn::Set(d, 1.33411e-3f), f, hn::Set(d, 9.66566e-3f));
  q = hn::MulAdd(q, f, hn::Set(d, 5.550466e-2f));
  q = hn::MulAdd(q, f, hn::Set(d, 0.24022364f));
  q = hn::MulAdd(q, f, hn::Set(d, 0.693147181f));
  return {scale, hn::Mul(q, f)};
}
#endif

// 2^t for t <= 0, for decays.
template <class D, class V = hn::Vec<D>>
HWY_INLINE Exp2Parts<V> SplitDecay(D d, V t) {
#if HWY_TARGET != HWY_AVX3
  t = hn::Max(t, hn::Set(d, -126.0f));
#endif
  return SplitExp2(d, t);
}

// 2^t - 1 for t <= 0: relative error <= 1.5e-6, <= 2.5e-7 for t >= -1/32
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp2MinusOne(D d, V t) {
  const Exp2Parts<V> p = SplitDecay(d, t);
  return hn::MulAdd(p.scale, p.rest, hn::Sub(p.scale, hn::Set(d, 1.0f)));
}

// e^x for x in [-88, 88]: relative error <= 4e-7
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
#if HWY_NATIVE_FMA
  const V log2_e = hn::Set(d, 1.44269504f), t = hn::Mul(x, log2_e);
  const V lost = hn::MulAdd(x, hn::Set(d, 1.92596299e-8f),
                            hn::MulSub(x, log2_e, t));  // the rounding errors of log2 e and of the product
#else
  const V coarse = hn::And(x, hn::BitCast(d, hn::Set(hn::RebindToUnsigned<D>(), 0xfffff000u)));
  const V t = hn::Mul(coarse, hn::Set(d, 0x1.714p0f));  // 12 times 11 bits: exact
  const V lost = hn::Add(hn::Mul(hn::Sub(x, coarse), hn::Set(d, 0x1.714p0f)), hn::Mul(x, hn::Set(d, 3.12228389e-4f)));
#endif
  const Exp2Parts<V> p = SplitExp2(d, t, lost);
  return hn::MulAdd(p.scale, p.rest, p.scale);
}

// 1 / (1 + e^-x): relative error <= 1e-6 for x >= -87
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  x = hn::Min(hn::Max(x, hn::Set(d, -88.0f)), hn::Set(d, 87.0f));
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

// x sigmoid(x): relative error <= 1.2e-6. Clamped where the result is 0 in float32, before e^-x overflows.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Silu(D d, V x) {
  x = hn::Max(x, hn::Set(d, -88.0f));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Neg(hn::Min(x, hn::Set(d, 87.0f))))));
}

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|): relative error <= 1e-6, also for very negative x (to -87)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Softplus(D d, V x) {
  const V u = Exp(d, hn::Max(hn::Neg(hn::Abs(x)), hn::Set(d, -87.0f)));
  const V u2 = hn::Mul(u, u), u4 = hn::Mul(u2, u2);  // log1p(u) / u on [0, 1], evaluated in pairs to shorten the
                                                     // dependency chain
  const V p01 = hn::MulAdd(hn::Set(d, -0.499994931379f), u, hn::Set(d, 1.0f));
  const V p23 = hn::MulAdd(hn::Set(d, -0.248429817849f), u, hn::Set(d, 0.333190967536f));
  const V p45 = hn::MulAdd(hn::Set(d, -0.136632422295f), u, hn::Set(d, 0.191060050837f));
  const V p67 = hn::MulAdd(hn::Set(d, -0.029505212978f), u, hn::Set(d, 0.078225909859f));
  const V high = hn::MulAdd(hn::Set(d, 0.005232687827f), u4, hn::MulAdd(p67, u2, p45));
  const V p = hn::MulAdd(high, u4, hn::MulAdd(p23, u2, p01));
  return hn::MulAdd(p, u, hn::Max(x, hn::Zero(d)));
}

// Odd rational function: relative error <= 5e-7. Clamped at 7.9, where the result is 1 - 2.8e-7, so that rounding never
// exceeds 1.
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

// cos and sin of 2 pi t for |t| <= 1/2: absolute error <= 1.5e-7. Taylor series within an eighth of a turn.
template <class V>
struct CosSin {
  V cosine, sine;
};
template <class D, class V = hn::Vec<D>>
HWY_INLINE CosSin<V> CosSinOfTurns(D d, V t) {
  const V quarters = hn::Round(hn::Mul(t, hn::Set(d, 4.0f)));
  const V x = hn::Mul(hn::NegMulAdd(quarters, hn::Set(d, 0.25f), t), hn::Set(d, 6.28318531f)), s = hn::Mul(x, x);
  V p = hn::Set(d, 2.7557319e-6f);
  p = hn::MulAdd(p, s, hn::Set(d, -1.9841270e-4f));
  p = hn::MulAdd(p, s, hn::Set(d, 8.3333333e-3f));
  p = hn::MulAdd(p, s, hn::Set(d, -0.16666667f));
  const V sine = hn::MulAdd(hn::Mul(p, s), x, x);
  V q = hn::Set(d, -2.7557319e-7f);
  q = hn::MulAdd(q, s, hn::Set(d, 2.4801587e-5f));
  q = hn::MulAdd(q, s, hn::Set(d, -1.3888889e-3f));
  q = hn::MulAdd(q, s, hn::Set(d, 4.1666667e-2f));
  q = hn::MulAdd(q, s, hn::Set(d, -0.5f));
  const V cosine = hn::MulAdd(q, s, hn::Set(d, 1.0f));
  const auto is = [&](float number) HWY_ATTR { return hn::Eq(quarters, hn::Set(d, number)); };
  const auto odd = hn::Or(is(1), is(-1)), opposite = hn::Or(is(2), is(-2));
  const V c = hn::IfThenElse(odd, hn::IfThenElse(is(1), hn::Neg(sine), sine), cosine);
  const V z = hn::IfThenElse(odd, hn::IfThenElse(is(1), cosine, hn::Neg(cosine)), sine);
  return {hn::IfThenElse(opposite, hn::Neg(c), c), hn::IfThenElse(opposite, hn::Neg(z), z)};
}

// Odd rational function on |x| <= 3.93; beyond that, erf is 1 in float32. Relative error <= 1e-6.
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
