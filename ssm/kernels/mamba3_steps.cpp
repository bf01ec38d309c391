// Mamba-3's per-head step sizes, decays, weights of the trapezoidal rule and speeds of rotation, in double precision.
// Uses the functions of Highway's own math library, whose names would clash with those of math-inl.h.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/kernels/mamba3_steps.cpp"
#include "hwy/foreach_target.h"

#include <cmath>

#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "ssm/kernels/separate-inl.h"
#include "ssm/kernels/two_floats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 1 / sqrt(mean(x^2) + eps)
inline double RmsScaleInDouble(double eps, size_t count, const float* x) {
  double sum = 0;
  for (size_t k = 0; k < count; ++k) sum += double(x[k]) * double(x[k]);
  return 1 / std::sqrt(sum / double(count) + eps);
}

// log(1 + e^x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SoftplusInDouble(D d, V x) {
  const V soft = hn::Log1p(d, hn::Exp(d, hn::Min(x, hn::Set(d, 30.0))));
  return hn::IfThenElse(hn::Gt(x, hn::Set(d, 30.0)), x, soft);
}

// Computes two frames at once, so that sums do not wait for each other: kRows vectors of rows, `apart` floats from each
// other.
inline constexpr size_t kFrames = 2;

template <size_t kRows, class D>
HWY_INLINE void ProjectInDouble(D d, const Mamba3Steps& m, const float* const (&x)[kFrames],
                                const double (&scale)[kFrames], size_t row, size_t apart,
                                hn::Vec<D> (&sum)[kFrames][kRows]) {
  const size_t rows = 3 * m.heads_width + m.angle_width;
  for (size_t f = 0; f < kFrames; ++f)
    for (size_t r = 0; r < kRows; ++r) sum[f][r] = hn::Zero(d);
  const double* weights = m.weights + row;
  for (size_t k = 0; k < m.d_model; ++k, weights += rows) {
    hn::Vec<D> weight[kRows];
    for (size_t r = 0; r < kRows; ++r) weight[r] = hn::LoadU(d, weights + r * apart);
    for (size_t f = 0; f < kFrames; ++f) {
      const auto value = hn::Set(d, double(x[f][k]));
      for (size_t r = 0; r < kRows; ++r) sum[f][r] = hn::MulAdd(weight[r], value, sum[f][r]);
    }
  }
  for (size_t f = 0; f < kFrames; ++f)
    for (size_t r = 0; r < kRows; ++r) sum[f][r] = hn::Mul(sum[f][r], hn::Set(d, scale[f]));
}

template <class D>
HWY_INLINE void StoreAsFloat(D d, hn::Vec<D> value, float* to) {
  const hn::Rebind<float, D> narrow;
  hn::StoreU(hn::DemoteTo(narrow, value), narrow, to);
}

// Computes the results of a vector of heads from its projected dt, a and s.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void StoreSteps(D d, const Mamba3Steps& m, const V (&projected)[3], size_t c, float* out) {
  const V one = hn::Set(d, 1.0), zero = hn::Zero(d), a = projected[1];
  const V dt = SoftplusInDouble(d, hn::Add(projected[0], hn::LoadU(d, m.dt_bias + c)));
  const V slow = hn::Div(one, hn::Sub(one, hn::Min(a, zero)));
  const V rate = m.a_softplus ? SoftplusInDouble(d, a) : hn::IfThenElse(hn::Ge(a, zero), hn::Add(one, a), slow);
  const V decay = hn::Expm1(d, hn::Neg(hn::Mul(hn::Max(rate, hn::Set(d, m.a_floor)), dt)));
  // sigmoid(-s) = 1 - sigmoid(s); both are computed without cancellation.
  const V s = hn::Min(hn::Max(projected[2], hn::Set(d, -500.0)), hn::Set(d, 500.0)), up = hn::Exp(d, s);
  const V before = hn::Div(dt, hn::Add(one, up)), now = hn::Div(hn::Mul(dt, up), hn::Add(one, up));
  StoreTwoFloats(d, dt, out + c, out + 4 * m.heads_width + c);
  StoreAsFloat(d, decay, out + m.heads_width + c);
  StoreAsFloat(d, hn::MulAdd(before, decay, before), out + 2 * m.heads_width + c);
  StoreAsFloat(d, now, out + 3 * m.heads_width + c);
}

template <size_t kRows, class D>
HWY_INLINE void StoreSpeeds(D d, const Mamba3Steps& m, const float* const (&x)[kFrames], const double (&scale)[kFrames],
                            size_t c, float* const (&out)[kFrames]) {
  hn::Vec<D> projected[kFrames][kRows];
  ProjectInDouble<kRows>(d, m, x, scale, 3 * m.heads_width + c, hn::Lanes(d), projected);
  for (size_t f = 0; f < kFrames; ++f)
    for (size_t r = 0; r < kRows; ++r) {
      float* speed = out[f] + 5 * m.heads_width + c + r * hn::Lanes(d);
      StoreTwoFloats(d, hn::Tanh(d, projected[f][r]), speed, speed + m.angle_width);
    }
}

void Mamba3StepsOf(const Mamba3Steps& m, const float* x, size_t x_stride, float* out, size_t frames) {
  const hn::CappedTag<double, kHalfPad> d;
  for (size_t t = 0; t < frames; t += kFrames) {
    // an odd last frame is computed twice
    const size_t second = HWY_MIN(t + 1, frames - 1);
    const float* const in[kFrames] = {x + t * x_stride, x + second * x_stride};
    float* const to[kFrames] = {out + t * m.stride(), out + second * m.stride()};
    double scale[kFrames];
    for (size_t f = 0; f < kFrames; ++f) scale[f] = m.has_norm ? RmsScaleInDouble(m.norm_eps, m.d_model, in[f]) : 1.0;
    for (size_t c = 0; c < m.heads_width; c += hn::Lanes(d)) {
      hn::Vec<decltype(d)> projected[kFrames][3];
      ProjectInDouble<3>(d, m, in, scale, c, m.heads_width, projected);
      for (size_t f = 0; f < kFrames; ++f) StoreSteps(d, m, projected[f], c, to[f]);
    }
    size_t c = 0;
    for (; c + 2 * hn::Lanes(d) <= m.angle_width; c += 2 * hn::Lanes(d)) StoreSpeeds<2>(d, m, in, scale, c, to);
    for (; c < m.angle_width; c += hn::Lanes(d)) StoreSpeeds<1>(d, m, in, scale, c, to);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();
