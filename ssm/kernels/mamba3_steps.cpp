// What steers Mamba-3's heads, in double precision: step sizes, decays, weights of the trapezoidal rule, speeds of
// rotation. The vector library's own functions serve here, whose names would meet those of math-inl.h.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/kernels/mamba3_steps.cpp"
#include "hwy/foreach_target.h"

#include <cmath>

#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "ssm/kernels/separate-inl.h"

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

// kRows rows of the projection that lie `apart`, in one pass over x.
template <size_t kRows, class D>
HWY_INLINE void ProjectInDouble(D d, const Mamba3Steps& m, const float* x, double scale, size_t row, size_t apart,
                                hn::Vec<D> (&sum)[kRows]) {
  const size_t rows = 3 * m.heads_width + m.angle_width;
  for (auto& s : sum) s = hn::Zero(d);
  const double* weights = m.weights + row;
  for (size_t k = 0; k < m.d_model; ++k, weights += rows) {
    const auto value = hn::Set(d, double(x[k]));
    for (size_t r = 0; r < kRows; ++r) sum[r] = hn::MulAdd(hn::LoadU(d, weights + r * apart), value, sum[r]);
  }
  for (auto& s : sum) s = hn::Mul(s, hn::Set(d, scale));
}

void Mamba3StepsOf(const Mamba3Steps& m, const float* x, size_t x_stride, float* out, size_t frames) {
  const hn::CappedTag<double, kHalfPad> d;
  using V = hn::Vec<decltype(d)>;
  const auto store = [&](V value, float* to) HWY_ATTR {
    const hn::Rebind<float, decltype(d)> narrow;
    hn::StoreU(hn::DemoteTo(narrow, value), narrow, to);
  };
  const V one = hn::Set(d, 1.0), zero = hn::Zero(d);
  for (size_t t = 0; t < frames; ++t, x += x_stride, out += m.stride()) {
    const double scale = m.has_norm ? RmsScaleInDouble(m.norm_eps, m.d_model, x) : 1.0;
    for (size_t c = 0; c < m.heads_width; c += hn::Lanes(d)) {
      V projected[3];
      ProjectInDouble(d, m, x, scale, c, m.heads_width, projected);
      const V dt = SoftplusInDouble(d, hn::Add(projected[0], hn::LoadU(d, m.dt_bias + c))), a = projected[1];
      const V slow = hn::Div(one, hn::Sub(one, hn::Min(a, zero)));
      const V rate = m.a_softplus ? SoftplusInDouble(d, a) : hn::IfThenElse(hn::Ge(a, zero), hn::Add(one, a), slow);
      const V decay = hn::Expm1(d, hn::Neg(hn::Mul(hn::Max(rate, hn::Set(d, m.a_floor)), dt)));
      // sigmoid(-s) = 1 - sigmoid(s), each without cancellation
      const V s = hn::Min(hn::Max(projected[2], hn::Set(d, -500.0)), hn::Set(d, 500.0));
      const V before = hn::Div(dt, hn::Add(one, hn::Exp(d, s))),
              now = hn::Div(dt, hn::Add(one, hn::Exp(d, hn::Neg(s))));
      store(dt, out + c);
      store(decay, out + m.heads_width + c);
      store(hn::MulAdd(before, decay, before), out + 2 * m.heads_width + c);
      store(now, out + 3 * m.heads_width + c);
    }
    for (size_t c = 0; c < m.angle_width; c += hn::Lanes(d)) {
      V projected[1];
      ProjectInDouble(d, m, x, scale, 3 * m.heads_width + c, 0, projected);
      store(hn::Tanh(d, projected[0]), out + 4 * m.heads_width + c);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();
