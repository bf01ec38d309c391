// Forward and backward pass of a block with a moving film vector; kernels.h has the equations.
#if defined(COIL_CAPTURE_TRAINER_MODULATED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_CAPTURE_TRAINER_MODULATED_INL_H_
#undef COIL_CAPTURE_TRAINER_MODULATED_INL_H_
#else
#define COIL_CAPTURE_TRAINER_MODULATED_INL_H_
#endif

#include "capture/trainer/network-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::capture {
namespace HWY_NAMESPACE {

// Interpolates a film row over the frames of a block.
template <class T>
HWY_INLINE Vec<T> WayOf(const MovingFilm<T>& film, size_t t) {
  return Splat(T(film.first + t + 1) / T(SlowMap::kHopFrames));
}

template <class T>
HWY_INLINE Vec<T> FilmAt(const MovingFilm<T>& film, size_t row, Vec<T> way) {
  const Vec<T> from = Load(film.from, row);
  return hn::MulAdd(hn::Sub(Load(film.to, row), from), way, from);
}

// rows: where the layer's scale starts; its shift follows
template <class T, size_t d>
HWY_NOINLINE void ActivateMoving(const T* w, const T* bias, const MovingFilm<T>& film, size_t rows, const T* y, T* pre,
                                 T* rest, T* a) {
  Product<T, d, false>(
      w, y, [](size_t, size_t) { return hn::Zero(Tag<T>()); },
      [&](size_t t, size_t i, Vec<T> v) {
        const Vec<T> way = WayOf(film, t), scale = FilmAt(film, rows + i, way);
        const Vec<T> shift = hn::MulAdd(scale, Splat(bias[i]), FilmAt(film, rows + d + i, way));
        const Vec<T> silent = TanhOf(shift);
        Store<T>(v, pre, t * d + i), Store<T>(silent, rest, t * d + i);
        Store<T>(hn::Sub(TanhOf(hn::MulAdd(scale, v, shift)), silent), a, t * d + i);
      });
}

template <class T, size_t d, size_t pairs>
void ForwardMoving(const Weights<T>& w, const MovingFilm<T>& film, const T* x, T* out, T* state, T* derivative,
                   Tape<T>& tape) {
  constexpr LayerMap map(d, pairs);
  const T* ends = w.parameters + w.layers * map.size;  // input, output, direct
  ForwardLayers<T, d, pairs>(w, x, state, derivative, tape, [&](size_t l, const T* y, T* a) {
    const T* p = w.parameters + l * map.size;
    ActivateMoving<T, d>(p + map.in_weight, p + map.in_bias, film, 2 * d * l, y, tape.pre(l), tape.rest(l), a);
  });
  const T* h = tape.h(w.layers);
  for (size_t t = 0; t < kBlockFrames; ++t) {
    Vec<T> sum = hn::Mul(Splat(ends[2 * d]), Load(x, t));
    const Vec<T> way = WayOf(film, t);
    for (size_t c = 0; c < d; ++c) sum = hn::MulAdd(FilmAt(film, 2 * d * w.layers + c, way), Load(h, t * d + c), sum);
    Store<T>(sum, out, t);
  }
}

// The gradient g[t] of a film row is distributed to both ends of the interpolation.
template <class T>
HWY_INLINE void AddWay(const MovingFilm<T>& film, size_t row, Vec<T> sum, Vec<T> sum_of_way) {
  AddTo<T>(hn::Sub(sum, sum_of_way), film.from_gradient, row);
  AddTo<T>(sum_of_way, film.to_gradient, row);
}

// With p = scale v + shift, shift = scale b + t: tape.gp holds the gradient of shift, tape.g_scaled that of v, tape.gy
// that of scale.
template <class T, size_t d>
HWY_NOINLINE void ActivateMovingBack(const T* w_out, const T* bias, const MovingFilm<T>& film, size_t rows,
                                     const T* pre, const T* rest, const T* a, Tape<T>& tape) {
  Product<T, d, true>(
      w_out, tape.g.data(), [](size_t, size_t) { return hn::Zero(Tag<T>()); },
      [&](size_t t, size_t i, Vec<T> v) {
        const Vec<T> silent = Load(rest, t * d + i), tanh = hn::Add(Load(a, t * d + i), silent);
        const Vec<T> moved = hn::NegMulAdd(hn::Mul(tanh, tanh), v, v);
        const Vec<T> shift = hn::Sub(moved, hn::NegMulAdd(hn::Mul(silent, silent), v, v));
        Store<T>(shift, tape.gp.data(), t * d + i);
        Store<T>(hn::Mul(FilmAt(film, rows + i, WayOf(film, t)), moved), tape.g_scaled.data(), t * d + i);
        Store<T>(hn::MulAdd(Load(pre, t * d + i), moved, hn::Mul(Splat(bias[i]), shift)), tape.gy.data(), t * d + i);
      });
}

template <class T, size_t d>
HWY_NOINLINE void AddFilm(const MovingFilm<T>& film, size_t rows, const T* g) {
  for (size_t i = 0; i < d; ++i) {
    Vec<T> sum = hn::Zero(Tag<T>()), sum_of_way = sum;
    for (size_t t = 0; t < kBlockFrames; ++t) {
      const Vec<T> v = Load(g, t * d + i);
      sum = hn::Add(sum, v), sum_of_way = hn::MulAdd(WayOf(film, t), v, sum_of_way);
    }
    AddWay(film, rows + i, sum, sum_of_way);
  }
}

// db = sum_t scale gradient of shift
template <class T, size_t d>
HWY_NOINLINE void AddBias(const MovingFilm<T>& film, size_t rows, const T* g, T* of_bias) {
  for (size_t i = 0; i < d; ++i) {
    Vec<T> sum = hn::Zero(Tag<T>());
    for (size_t t = 0; t < kBlockFrames; ++t)
      sum = hn::MulAdd(FilmAt(film, rows + i, WayOf(film, t)), Load(g, t * d + i), sum);
    AddTo<T>(sum, of_bias, i);
  }
}

template <class T, size_t d, size_t pairs>
void LayerMovingBack(const Weights<T>& w, const MovingFilm<T>& film, size_t l, Tape<T>& tape, T* adjoint, T* gradient) {
  constexpr LayerMap map(d, pairs);
  constexpr size_t N = kLanesOf<T>;
  const T *p = w.parameters + l * map.size, *a = tape.a(l), *y = tape.y(l);
  const size_t at = l * d * N, rows = 2 * d * l;
  T* of_layer = gradient + l * map.size * N;
  AddOuter<T, d>(tape.g.data(), a, of_layer + map.out_weight * N);
  ActivateMovingBack<T, d>(p + map.out_weight, p + map.in_bias, film, rows, tape.pre(l), tape.rest(l), a, tape);
  AddFilm<T, d>(film, rows, tape.gy.data());
  AddFilm<T, d>(film, rows + d, tape.gp.data());
  AddBias<T, d>(film, rows, tape.gp.data(), of_layer + map.in_bias * N);
  AddOuter<T, d>(tape.g_scaled.data(), y, of_layer + map.in_weight * N);
  Product<T, d, true>(
      p + map.in_weight, tape.g_scaled.data(), [](size_t, size_t) { return hn::Zero(Tag<T>()); },
      [&](size_t t, size_t i, Vec<T> v) { Store<T>(v, tape.gy.data(), t * d + i); });
  FilterBack<T, d, pairs>(w.modes + l * 4 * d * pairs, p + map.D, tape.h(l), tape.gy.data(), tape.g.data(),
                          adjoint + at * pairs * kAdjoints, of_layer);
}

template <class T, size_t d, size_t pairs>
void BackwardMoving(const Weights<T>& w, const MovingFilm<T>& film, const T* x, const T* out_gradient, Tape<T>& tape,
                    T* adjoint, T* gradient) {
  T* of_ends = gradient + w.layers * LayerMap(d, pairs).size * kLanesOf<T>;
  const T* h = tape.h(w.layers);
  const size_t rows = 2 * d * w.layers;
  for (size_t c = 0; c < d; ++c) {
    Vec<T> sum = hn::Zero(Tag<T>()), sum_of_way = sum;
    for (size_t t = 0; t < kBlockFrames; ++t) {
      const Vec<T> e = Load(out_gradient, t), way = WayOf(film, t), v = hn::Mul(e, Load(h, t * d + c));
      sum = hn::Add(sum, v), sum_of_way = hn::MulAdd(way, v, sum_of_way);
      Store<T>(hn::Mul(FilmAt(film, rows + c, way), e), tape.g.data(), t * d + c);
    }
    AddWay(film, rows + c, sum, sum_of_way);
  }
  Vec<T> direct = hn::Zero(Tag<T>());
  for (size_t t = 0; t < kBlockFrames; ++t) direct = hn::MulAdd(Load(out_gradient, t), Load(x, t), direct);
  AddTo<T>(direct, of_ends, 2 * d);
  for (size_t l = w.layers; l-- > 0;) LayerMovingBack<T, d, pairs>(w, film, l, tape, adjoint, gradient);
  for (size_t c = 0; c < d; ++c) {
    Vec<T> sum = hn::Zero(Tag<T>());
    for (size_t t = 0; t < kBlockFrames; ++t) sum = hn::MulAdd(Load(tape.g.data(), t * d + c), Load(x, t), sum);
    AddTo<T>(sum, of_ends, c);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::capture
HWY_AFTER_NAMESPACE();

#endif
