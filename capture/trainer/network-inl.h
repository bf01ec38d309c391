// Forward and backward pass of a block for one vector of lanes; kernels.h has the equations.
#if defined(COIL_CAPTURE_TRAINER_NETWORK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_CAPTURE_TRAINER_NETWORK_INL_H_
#undef COIL_CAPTURE_TRAINER_NETWORK_INL_H_
#else
#define COIL_CAPTURE_TRAINER_NETWORK_INL_H_
#endif

#include <cmath>
#include <cstring>

#include "capture/trainer/kernels.h"
#include "hwy/highway.h"
#include "ssm/kernels/math-inl.h"

#ifndef COIL_UNROLL
// The compiler keeps arrays of vectors in registers only if the loops over them are unrolled.
#define COIL_UNROLL _Pragma("GCC unroll 16")
#endif

HWY_BEFORE_NAMESPACE();
namespace coil::capture {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class T>
using Tag = hn::ScalableTag<T>;
template <class T>
using Vec = hn::Vec<Tag<T>>;
template <class T>
inline constexpr size_t kLanesOf = hn::MaxLanes(Tag<T>());

template <class T>
HWY_INLINE Vec<T> Load(const T* p, size_t vector) {
  return hn::Load(Tag<T>(), p + vector * kLanesOf<T>);
}
template <class T>
HWY_INLINE void Store(Vec<T> v, T* p, size_t vector) {
  hn::Store(v, Tag<T>(), p + vector * kLanesOf<T>);
}
template <class T>
HWY_INLINE void AddTo(Vec<T> v, T* p, size_t vector) {
  Store<T>(hn::Add(Load(p, vector), v), p, vector);
}
template <class T>
HWY_INLINE Vec<T> Splat(T value) {
  return hn::Set(Tag<T>(), value);
}

HWY_INLINE Vec<float> TanhOf(Vec<float> x) { return ssm::HWY_NAMESPACE::Tanh(Tag<float>(), x); }
#if HWY_HAVE_FLOAT64
HWY_INLINE Vec<double> TanhOf(Vec<double> x) {
  HWY_ALIGN double values[kLanesOf<double>];
  hn::Store(x, Tag<double>(), values);
  for (double& value : values) value = std::tanh(value);
  return hn::Load(Tag<double>(), values);
}
#endif

template <class T>
HWY_NOINLINE void Rest(const T* shift, T* rest, size_t count) {
  for (size_t i = 0; i < count; ++i) Store<T>(TanhOf(Load(shift, i)), rest, i);
}

// Modes `first`, first + 1, ... of a bank of `count`.
template <class T>
struct Modes {
  Modes(const T* modes, size_t count, size_t first = 0)
      : z_re(modes + first),
        z_im(modes + count + first),
        c_re(modes + 2 * count + first),
        c_im(modes + 3 * count + first) {}
  const T *z_re, *z_im, *c_re, *c_im;
};

// y += Re(c s) over `count` modes; with `skip`, y is initialised with skip h. Frame t of h and y is at t * step. The
// states are updated and, with `derives`, their derivatives.
template <class T, size_t count, bool derives>
HWY_INLINE void RunModes(const Modes<T>& k, const T* skip, const T* h, T* y, size_t step, size_t frames, T* state,
                         T* derivative) {
  using V = Vec<T>;
  V s_re[count], s_im[count], p_re[count], p_im[count], z_re[count], z_im[count], c_re[count], c_im[count];
  const V direct = Splat(skip ? *skip : T(0));
  COIL_UNROLL for (size_t n = 0; n < count; ++n) {
    s_re[n] = Load(state, kStates * n), s_im[n] = Load(state, kStates * n + 1);
    if constexpr (derives) p_re[n] = Load(derivative, kStates * n), p_im[n] = Load(derivative, kStates * n + 1);
    z_re[n] = Splat(k.z_re[n]), z_im[n] = Splat(k.z_im[n]), c_re[n] = Splat(k.c_re[n]), c_im[n] = Splat(k.c_im[n]);
  }
  for (size_t t = 0; t < frames; ++t) {
    const V u = Load(h, t * step);
    V sum = skip ? hn::Mul(direct, u) : Load(y, t * step), less = hn::Zero(Tag<T>());
    COIL_UNROLL for (size_t n = 0; n < count; ++n) {
      if constexpr (derives) {
        const V re = hn::NegMulAdd(z_im[n], p_im[n], hn::MulAdd(z_re[n], p_re[n], s_re[n]));
        p_im[n] = hn::MulAdd(z_im[n], p_re[n], hn::MulAdd(z_re[n], p_im[n], s_im[n]));
        p_re[n] = re;
      }
      const V re = hn::NegMulAdd(z_im[n], s_im[n], hn::MulAdd(z_re[n], s_re[n], u));
      s_im[n] = hn::MulAdd(z_im[n], s_re[n], hn::Mul(z_re[n], s_im[n]));
      s_re[n] = re;
      sum = hn::MulAdd(c_re[n], re, sum);
      less = hn::MulAdd(c_im[n], s_im[n], less);
    }
    Store<T>(hn::Sub(sum, less), y, t * step);
  }
  COIL_UNROLL for (size_t n = 0; n < count; ++n) {
    Store<T>(s_re[n], state, kStates * n), Store<T>(s_im[n], state, kStates * n + 1);
    if constexpr (derives) Store<T>(p_re[n], derivative, kStates * n), Store<T>(p_im[n], derivative, kStates * n + 1);
  }
}

template <class T, size_t d, size_t pairs, bool derives>
HWY_NOINLINE void Filter(const T* modes, const T* skip, const T* h, T* y, T* state, T* derivative) {
  constexpr size_t N = kLanesOf<T>;
  for (size_t c = 0; c < d; ++c) {
    const size_t at = kStates * c * pairs * N;
    RunModes<T, pairs, derives>(Modes<T>(modes, d * pairs, c * pairs), skip + c, h + c * N, y + c * N, d, kBlockFrames,
                                state + at, derives ? derivative + at : nullptr);
  }
}

// Pointers to the gradients of some modes: M (real, imaginary) and Q of kernels.h.
template <class T>
struct ModeGradients {
  T *M, *Q_re, *Q_im;
};

// gy: gradient of y; g: the gradient of h is added to it. With `skip`, includes the skip path and its gradient.
template <class T, size_t count>
HWY_INLINE void RunModesBack(const Modes<T>& k, const T* skip, const T* h, const T* gy, T* g, size_t step,
                             size_t frames, T* adjoint, const ModeGradients<T>& gradients, T* of_skip) {
  using V = Vec<T>;
  const Tag<T> tag;
  V m_re[count], m_im[count], q_re[count], q_im[count], M_re[count], M_im[count], Q_re[count], Q_im[count];
  V z_re[count], z_im[count], c_re[count], c_im[count];
  const V direct = Splat(skip ? *skip : T(0));
  V skip_gradient = hn::Zero(tag);
  COIL_UNROLL for (size_t n = 0; n < count; ++n) {
    const size_t from = kAdjoints * n;
    m_re[n] = Load(adjoint, from), m_im[n] = Load(adjoint, from + 1), q_re[n] = Load(adjoint, from + 2),
    q_im[n] = Load(adjoint, from + 3);
    z_re[n] = Splat(k.z_re[n]), z_im[n] = Splat(k.z_im[n]), c_re[n] = Splat(k.c_re[n]), c_im[n] = Splat(k.c_im[n]);
    M_re[n] = M_im[n] = Q_re[n] = Q_im[n] = hn::Zero(tag);
  }
  for (size_t t = frames; t-- > 0;) {
    const V x = Load(gy, t * step), u = Load(h, t * step);
    V sum = Load(g, t * step), less = hn::Zero(tag);
    if (skip) sum = hn::MulAdd(direct, x, sum), skip_gradient = hn::MulAdd(u, x, skip_gradient);
    COIL_UNROLL for (size_t n = 0; n < count; ++n) {
      const V q = hn::NegMulAdd(z_im[n], q_im[n], hn::MulAdd(z_re[n], q_re[n], m_re[n]));
      q_im[n] = hn::MulAdd(z_im[n], q_re[n], hn::MulAdd(z_re[n], q_im[n], m_im[n]));
      q_re[n] = q;
      const V m = hn::NegMulAdd(z_im[n], m_im[n], hn::MulAdd(z_re[n], m_re[n], x));
      m_im[n] = hn::MulAdd(z_im[n], m_re[n], hn::Mul(z_re[n], m_im[n]));
      m_re[n] = m;
      sum = hn::MulAdd(c_re[n], m, sum);
      less = hn::MulAdd(c_im[n], m_im[n], less);
      M_re[n] = hn::MulAdd(u, m, M_re[n]), M_im[n] = hn::MulAdd(u, m_im[n], M_im[n]);
      Q_re[n] = hn::MulAdd(u, q, Q_re[n]), Q_im[n] = hn::MulAdd(u, q_im[n], Q_im[n]);
    }
    Store<T>(hn::Sub(sum, less), g, t * step);
  }
  COIL_UNROLL for (size_t n = 0; n < count; ++n) {
    const size_t to = kAdjoints * n;
    Store<T>(m_re[n], adjoint, to), Store<T>(m_im[n], adjoint, to + 1), Store<T>(q_re[n], adjoint, to + 2),
        Store<T>(q_im[n], adjoint, to + 3);
    AddTo<T>(M_re[n], gradients.M, 2 * n), AddTo<T>(M_im[n], gradients.M, 2 * n + 1);
    AddTo<T>(Q_re[n], gradients.Q_re, n), AddTo<T>(Q_im[n], gradients.Q_im, n);
  }
  if (skip) AddTo<T>(skip_gradient, of_skip, 0);
}

// Pointers for the modes from `first` on, in the gradient of a layer or of the filter.
template <class T, class Map>
ModeGradients<T> GradientsAt(const Map& map, T* gradient, size_t first) {
  constexpr size_t N = kLanesOf<T>;
  return {gradient + (map.C + 2 * first) * N, gradient + (map.log_A_real + first) * N,
          gradient + (map.A_imag + first) * N};
}

// Two pairs at a time, because more would not fit into the registers. gy: gradient of y. g: in, the gradient of the
// layer's output; out, that of its input.
template <class T, size_t d, size_t pairs>
HWY_NOINLINE void FilterBack(const T* modes, const T* skip, const T* h, const T* gy, T* g, T* adjoint, T* gradient) {
  constexpr size_t N = kLanesOf<T>, count = pairs < 2 ? pairs : 2;
  constexpr LayerMap map(d, pairs);
  for (size_t c = 0; c < d; ++c) {
    const size_t at = c * pairs;
    RunModesBack<T, count>(Modes<T>(modes, d * pairs, at), skip + c, h + c * N, gy + c * N, g + c * N, d, kBlockFrames,
                           adjoint + kAdjoints * at * N, GradientsAt<T>(map, gradient, at), gradient + (map.D + c) * N);
    if constexpr (pairs > 2)
      RunModesBack<T, pairs - 2>(Modes<T>(modes, d * pairs, at + 2), nullptr, h + c * N, gy + c * N, g + c * N, d,
                                 kBlockFrames, adjoint + kAdjoints * (at + 2) * N,
                                 GradientsAt<T>(map, gradient, at + 2), nullptr);
  }
}

// For each frame t and row i: put(t, i, init(t, i) + sum_j w[i][j] x[t][j]); or with w transposed.
template <class T, size_t d, bool transposed, class Init, class Put>
HWY_INLINE void Product(const T* w, const T* x, const Init& init, const Put& put) {
  constexpr size_t rows = 8;
  for (size_t t = 0; t < kBlockFrames; t += 2) {
    for (size_t first = 0; first < d; first += rows) {
      Vec<T> one[rows], two[rows];
      COIL_UNROLL for (size_t i = 0; i < rows; ++i) { one[i] = init(t, first + i), two[i] = init(t + 1, first + i); }
      COIL_UNROLL for (size_t j = 0; j < d; ++j) {
        const Vec<T> a = Load(x, t * d + j), b = Load(x, (t + 1) * d + j);
        COIL_UNROLL for (size_t i = 0; i < rows; ++i) {
          const Vec<T> k = Splat(transposed ? w[j * d + first + i] : w[(first + i) * d + j]);
          one[i] = hn::MulAdd(k, a, one[i]), two[i] = hn::MulAdd(k, b, two[i]);
        }
      }
      COIL_UNROLL for (size_t i = 0; i < rows; ++i) { put(t, first + i, one[i]), put(t + 1, first + i, two[i]); }
    }
  }
}

// dw[i][j] += sum_t g[t][i] x[t][j]
template <class T, size_t d>
HWY_NOINLINE void AddOuter(const T* g, const T* x, T* dw) {
  constexpr size_t columns = 8;
  for (size_t i = 0; i < d; i += 2) {
    for (size_t j = 0; j < d; j += columns) {
      Vec<T> one[columns], two[columns];
      COIL_UNROLL for (size_t k = 0; k < columns; ++k) { one[k] = two[k] = hn::Zero(Tag<T>()); }
      for (size_t t = 0; t < kBlockFrames; ++t) {
        const Vec<T> a = Load(g, t * d + i), b = Load(g, t * d + i + 1);
        COIL_UNROLL for (size_t k = 0; k < columns; ++k) {
          const Vec<T> v = Load(x, t * d + j + k);
          one[k] = hn::MulAdd(a, v, one[k]), two[k] = hn::MulAdd(b, v, two[k]);
        }
      }
      COIL_UNROLL for (size_t k = 0; k < columns; ++k) {
        AddTo<T>(one[k], dw, i * d + j + k), AddTo<T>(two[k], dw, (i + 1) * d + j + k);
      }
    }
  }
}

// sums[c] = sum_t x[t][c]
template <class T, size_t d>
HWY_INLINE void SumFrames(const T* x, Vec<T>* sums) {
  for (size_t c = 0; c < d; ++c) sums[c] = hn::Zero(Tag<T>());
  for (size_t t = 0; t < kBlockFrames; ++t)
    for (size_t c = 0; c < d; ++c) sums[c] = hn::Add(sums[c], Load(x, t * d + c));
}

template <class T, size_t d>
HWY_NOINLINE void Activate(const T* w, const T* y, const T* scale, const T* shift, const T* rest, T* a) {
  Product<T, d, false>(
      w, y, [](size_t, size_t) { return hn::Zero(Tag<T>()); },
      [&](size_t t, size_t i, Vec<T> v) {
        Store<T>(hn::Sub(TanhOf(hn::MulAdd(Load(scale, i), v, Load(shift, i))), Load(rest, i)), a, t * d + i);
      });
}

template <class T, size_t d>
HWY_NOINLINE void AddResidual(const T* w, const T* a, const T* h, T* next) {
  Product<T, d, false>(
      w, a, [&](size_t t, size_t i) { return Load(h, t * d + i); },
      [&](size_t t, size_t i, Vec<T> v) { Store<T>(v, next, t * d + i); });
}

// The input projection and all layers. activate(l, y, a) computes a of layer l from the output of its filters.
template <class T, size_t d, size_t pairs, class Activation>
HWY_INLINE void ForwardLayers(const Weights<T>& w, const T* x, T* state, T* derivative, Tape<T>& tape,
                              const Activation& activate) {
  constexpr LayerMap map(d, pairs);
  const T* input = w.parameters + w.layers * map.size;
  for (size_t t = 0; t < kBlockFrames; ++t)
    for (size_t c = 0; c < d; ++c) Store<T>(hn::Mul(Splat(input[c]), Load(x, t)), tape.h(0), t * d + c);
  for (size_t l = 0; l < w.layers; ++l) {
    const T *p = w.parameters + l * map.size, *h = tape.h(l);
    T *y = tape.y(l), *a = tape.a(l);
    const size_t at = l * d * kLanesOf<T> * pairs * kStates;
    const T* modes = w.modes + l * 4 * d * pairs;
    if (derivative)
      Filter<T, d, pairs, true>(modes, p + map.D, h, y, state + at, derivative + at);
    else
      Filter<T, d, pairs, false>(modes, p + map.D, h, y, state + at, nullptr);
    activate(l, y, a);
    AddResidual<T, d>(p + map.out_weight, a, h, tape.h(l + 1));
  }
}

template <class T, size_t d, size_t pairs>
void Forward(const Weights<T>& w, const Conditions<T>& lanes, const T* x, T* out, T* state, T* derivative,
             Tape<T>& tape) {
  constexpr LayerMap map(d, pairs);
  const T* ends = w.parameters + w.layers * map.size;  // input, output, direct
  ForwardLayers<T, d, pairs>(w, x, state, derivative, tape, [&](size_t l, const T* y, T* a) {
    const size_t at = l * d * kLanesOf<T>;
    Activate<T, d>(w.parameters + l * map.size + map.in_weight, y, lanes.scale + at, lanes.shift + at, lanes.rest + at,
                   a);
  });
  const T* h = tape.h(w.layers);
  for (size_t t = 0; t < kBlockFrames; ++t) {
    Vec<T> even = hn::Mul(Splat(ends[2 * d]), Load(x, t)), odd = hn::Zero(Tag<T>());
    for (size_t c = 0; c < d; c += 2) {
      even = hn::MulAdd(Load(lanes.output, c), Load(h, t * d + c), even);
      odd = hn::MulAdd(Load(lanes.output, c + 1), Load(h, t * d + c + 1), odd);
    }
    Store<T>(hn::Add(even, odd), out, t);
  }
}

// Computes the gradients of p and, scaled, of W_in y from that of a.
template <class T, size_t d>
HWY_NOINLINE void ActivateBack(const T* w_out, const T* a, const T* scale, const T* rest, Tape<T>& tape) {
  Product<T, d, true>(
      w_out, tape.g.data(), [](size_t, size_t) { return hn::Zero(Tag<T>()); },
      [&](size_t t, size_t i, Vec<T> v) {
        const Vec<T> tanh = hn::Add(Load(a, t * d + i), Load(rest, i));
        v = hn::NegMulAdd(hn::Mul(tanh, tanh), v, v);
        Store<T>(v, tape.gp.data(), t * d + i);
        Store<T>(hn::Mul(Load(scale, i), v), tape.g_scaled.data(), t * d + i);
      });
}

template <class T, size_t d, size_t pairs>
void LayerBack(const Weights<T>& w, const Conditions<T>& lanes, size_t l, Tape<T>& tape, T* adjoint, T* gradient) {
  constexpr LayerMap map(d, pairs);
  constexpr size_t N = kLanesOf<T>;
  const T *p = w.parameters + l * map.size, *a = tape.a(l), *y = tape.y(l);
  const size_t at = l * d * N;
  T* of_layer = gradient + l * map.size * N;
  T* of_rest = gradient + (w.layers * map.size + 2 * d + 1 + l * d) * N;

  AddOuter<T, d>(tape.g.data(), a, of_layer + map.out_weight * N);
  Vec<T> sums[d];
  SumFrames<T, d>(tape.g.data(), sums);
  for (size_t i = 0; i < d; ++i) {
    Vec<T> sum = hn::Zero(Tag<T>());
    for (size_t c = 0; c < d; ++c) sum = hn::MulAdd(Splat(p[map.out_weight + c * d + i]), sums[c], sum);
    AddTo<T>(sum, of_rest, i);
  }

  ActivateBack<T, d>(p + map.out_weight, a, lanes.scale + at, lanes.rest + at, tape);
  Product<T, d, true>(
      p + map.in_weight, tape.g_scaled.data(), [](size_t, size_t) { return hn::Zero(Tag<T>()); },
      [&](size_t t, size_t i, Vec<T> v) { Store<T>(v, tape.gy.data(), t * d + i); });
  AddOuter<T, d>(tape.gp.data(), y, of_layer + map.in_weight * N);
  SumFrames<T, d>(tape.gp.data(), sums);
  for (size_t c = 0; c < d; ++c) AddTo<T>(sums[c], of_layer, map.in_bias + c);

  FilterBack<T, d, pairs>(w.modes + l * 4 * d * pairs, p + map.D, tape.h(l), tape.gy.data(), tape.g.data(),
                          adjoint + at * pairs * kAdjoints, of_layer);
}

template <class T, size_t d, size_t pairs>
void Backward(const Weights<T>& w, const Conditions<T>& lanes, const T* x, const T* out_gradient, Tape<T>& tape,
              T* adjoint, T* gradient) {
  constexpr LayerMap map(d, pairs);
  T* of_ends = gradient + w.layers * map.size * kLanesOf<T>;
  const T* h = tape.h(w.layers);
  for (size_t c = 0; c < d; ++c) {
    Vec<T> sum = hn::Zero(Tag<T>());
    for (size_t t = 0; t < kBlockFrames; ++t) {
      const Vec<T> e = Load(out_gradient, t);
      sum = hn::MulAdd(e, Load(h, t * d + c), sum);
      Store<T>(hn::Mul(Load(lanes.output, c), e), tape.g.data(), t * d + c);
    }
    AddTo<T>(sum, of_ends, d + c);
  }
  Vec<T> direct = hn::Zero(Tag<T>());
  for (size_t t = 0; t < kBlockFrames; ++t) direct = hn::MulAdd(Load(out_gradient, t), Load(x, t), direct);
  AddTo<T>(direct, of_ends, 2 * d);

  for (size_t l = w.layers; l-- > 0;) LayerBack<T, d, pairs>(w, lanes, l, tape, adjoint, gradient);

  for (size_t c = 0; c < d; ++c) {
    Vec<T> sum = hn::Zero(Tag<T>());
    for (size_t t = 0; t < kBlockFrames; ++t) sum = hn::MulAdd(Load(tape.g.data(), t * d + c), Load(x, t), sum);
    AddTo<T>(sum, of_ends, c);
  }
}

template <class T>
HWY_INLINE void AddStateBefore(const Modes<T>& k, size_t count, const T* state, const T* derivative, const T* adjoint,
                               const ModeGradients<T>& gradients) {
  using V = Vec<T>;
  for (size_t n = 0; n < count; ++n) {
    const size_t s = n * kStates, j = n * kAdjoints;
    const V s_re = Load(state, s), s_im = Load(state, s + 1), p_re = Load(derivative, s),
            p_im = Load(derivative, s + 1);
    const V z_re = Splat(k.z_re[n]), z_im = Splat(k.z_im[n]);
    const V m_re = Load(adjoint, j), m_im = Load(adjoint, j + 1), q_re = Load(adjoint, j + 2),
            q_im = Load(adjoint, j + 3);
    const V zm_re = hn::NegMulAdd(z_im, m_im, hn::Mul(z_re, m_re)), zm_im = hn::MulAdd(z_im, m_re, hn::Mul(z_re, m_im));
    const V r_re = hn::NegMulAdd(z_im, q_im, hn::MulAdd(z_re, q_re, m_re)),
            r_im = hn::MulAdd(z_im, q_re, hn::MulAdd(z_re, q_im, m_im));
    AddTo<T>(hn::NegMulAdd(s_im, zm_im, hn::Mul(s_re, zm_re)), gradients.M, 2 * n);
    AddTo<T>(hn::MulAdd(s_im, zm_re, hn::Mul(s_re, zm_im)), gradients.M, 2 * n + 1);
    const V of_state_re = hn::NegMulAdd(s_im, r_im, hn::Mul(s_re, r_re)),
            of_state_im = hn::MulAdd(s_im, r_re, hn::Mul(s_re, r_im));
    AddTo<T>(hn::NegMulAdd(p_im, zm_im, hn::MulAdd(p_re, zm_re, of_state_re)), gradients.Q_re, n);
    AddTo<T>(hn::MulAdd(p_im, zm_re, hn::MulAdd(p_re, zm_im, of_state_im)), gradients.Q_im, n);
  }
}

template <class T, size_t d, size_t pairs>
HWY_NOINLINE void AddInitialState(const Weights<T>& w, const T* state, const T* derivative, const T* adjoint,
                                  T* gradient) {
  constexpr LayerMap map(d, pairs);
  constexpr size_t N = kLanesOf<T>, count = d * pairs;
  for (size_t l = 0; l < w.layers; ++l)
    AddStateBefore<T>(Modes<T>(w.modes + l * 4 * count, count), count, state + l * count * kStates * N,
                      derivative + l * count * kStates * N, adjoint + l * count * kAdjoints * N,
                      GradientsAt<T>(map, gradient + l * map.size * N, 0));
}

template <class T, bool derives>
HWY_INLINE void RunFilter(const OutputFilter<T>& filter, const T* v, T* y, T* state, T* derivative, size_t frames) {
  constexpr size_t N = kLanesOf<T>, count = 4;
  for (size_t t = 0; t < frames; t += kFilterFrames) {
    const size_t there = frames - t < kFilterFrames ? frames - t : kFilterFrames;
    for (size_t n = 0; n < filter.count; n += count) {
      const size_t at = n * kStates * N;
      RunModes<T, count, derives>(Modes<T>(filter.modes, filter.count, n), n == 0 ? &filter.direct : nullptr, v + t * N,
                                  y + t * N, 1, there, state + at, derives ? derivative + at : nullptr);
    }
  }
}

// One block of frames at a time stays in the cache while all modes process it.
template <class T>
HWY_NOINLINE void FilterOutput(const OutputFilter<T>& filter, const T* v, T* y, T* state, T* derivative,
                               size_t frames) {
  if (derivative)
    RunFilter<T, true>(filter, v, y, state, derivative, frames);
  else
    RunFilter<T, false>(filter, v, y, state, nullptr, frames);
}

template <class T>
HWY_NOINLINE void FilterOutputBack(const OutputFilter<T>& filter, const T* v, const T* of_y, T* of_v, const T* state,
                                   const T* derivative, size_t frames, T* adjoint, T* gradient) {
  constexpr size_t N = kLanesOf<T>, count = 2;
  const FilterMap map(filter.count);
  std::fill_n(gradient, map.size * N, T(0));
  std::fill_n(adjoint, filter.count * kAdjoints * N, T(0));
  std::fill_n(of_v, frames * N, T(0));
  for (size_t end = frames; end > 0;) {
    const size_t there = end % kFilterFrames > 0 ? end % kFilterFrames : kFilterFrames, t = end - there;
    for (size_t n = 0; n < filter.count; n += count)
      RunModesBack<T, count>(Modes<T>(filter.modes, filter.count, n), n == 0 ? &filter.direct : nullptr, v + t * N,
                             of_y + t * N, of_v + t * N, 1, there, adjoint + n * kAdjoints * N,
                             GradientsAt<T>(map, gradient, n), gradient + map.D * N);
    end = t;
  }
  AddStateBefore<T>(Modes<T>(filter.modes, filter.count), filter.count, state, derivative, adjoint,
                    GradientsAt<T>(map, gradient, 0));
}

template <class T>
HWY_INLINE double SumOf(Vec<T> v) {
  HWY_ALIGN T values[kLanesOf<T>];
  hn::Store(v, Tag<T>(), values);
  double sum = 0;
  for (const T value : values) sum += double(value);
  return sum;
}

// x[t] - 0.85 x[t-1] where both frames are scored; the frame before the first one is unknown.
template <class T>
HWY_INLINE Vec<T> PreEmphasised(const T* x, const T* counts, size_t t) {
  if (t == 0) return hn::Zero(Tag<T>());
  const Vec<T> both = hn::Mul(Load(counts, t), Load(counts, t - 1));
  return hn::Mul(both, hn::NegMulAdd(Splat(T(kPreEmphasis)), Load(x, t - 1), Load(x, t)));
}

template <class T>
HWY_NOINLINE LossSums Energy(const T* target, const T* counts, const T* weight, size_t frames) {
  Vec<T> plain = hn::Zero(Tag<T>()), pre = hn::Zero(Tag<T>());
  for (size_t t = 0; t < frames; ++t) {
    const Vec<T> y = hn::Mul(Load(counts, t), Load(target, t)), f = PreEmphasised(target, counts, t);
    plain = hn::MulAdd(y, y, plain), pre = hn::MulAdd(f, f, pre);
  }
  return {SumOf<T>(hn::Mul(Load(weight, 0), plain)), SumOf<T>(hn::Mul(Load(weight, 0), pre))};
}

// With f[t] = both[t] (e[t] - 0.85 e[t-1]) the gradient is k_plain e[t] + k_pre (f[t] - 0.85 f[t+1]).
template <class T>
HWY_NOINLINE LossSums Loss(T* output, const T* target, const T* counts, const T* weight, size_t frames, T k_plain,
                           T k_pre) {
  Vec<T> plain = hn::Zero(Tag<T>()), pre = hn::Zero(Tag<T>()), after = hn::Zero(Tag<T>());
  for (size_t t = 0; t < frames; ++t)
    Store<T>(hn::Mul(Load(counts, t), hn::Sub(Load(output, t), Load(target, t))), output, t);
  for (size_t t = frames; t-- > 0;) {
    const Vec<T> e = Load(output, t), f = PreEmphasised(output, counts, t);
    plain = hn::MulAdd(e, e, plain), pre = hn::MulAdd(f, f, pre);
    const Vec<T> emphasised = hn::NegMulAdd(Splat(T(kPreEmphasis)), after, f);
    const Vec<T> gradient = hn::MulAdd(Splat(k_plain), e, hn::Mul(Splat(k_pre), emphasised));
    Store<T>(hn::Mul(Load(weight, 0), gradient), output, t);
    after = f;
  }
  return {SumOf<T>(hn::Mul(Load(weight, 0), plain)), SumOf<T>(hn::Mul(Load(weight, 0), pre))};
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::capture
HWY_AFTER_NAMESPACE();

#endif
