// The slow path for one vector of lanes: forward hop by hop, and backward through time; kernels.h has the equations.
#if defined(COIL_CAPTURE_TRAINER_SLOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_CAPTURE_TRAINER_SLOW_INL_H_
#undef COIL_CAPTURE_TRAINER_SLOW_INL_H_
#else
#define COIL_CAPTURE_TRAINER_SLOW_INL_H_
#endif

#include "capture/trainer/network-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::capture {
namespace HWY_NAMESPACE {

// put(i, init(i) + sum_j w[i step_out + j step_in] x[j]); outputs: a multiple of 4
template <class T, class Init, class Put>
HWY_INLINE void Multiply(const T* w, size_t outputs, size_t step_out, size_t inputs, size_t step_in, const T* x,
                         const Init& init, const Put& put) {
  for (size_t i = 0; i < outputs; i += 4) {
    Vec<T> sums[4];
    COIL_UNROLL for (size_t k = 0; k < 4; ++k) sums[k] = init(i + k);
    for (size_t j = 0; j < inputs; ++j) {
      const Vec<T> v = Load(x, j);
      COIL_UNROLL for (size_t k = 0; k < 4; ++k) sums[k] =
          hn::MulAdd(Splat(w[(i + k) * step_out + j * step_in]), v, sums[k]);
    }
    COIL_UNROLL for (size_t k = 0; k < 4; ++k) put(i + k, sums[k]);
  }
}

// W x, for w [rows][columns]
template <class T, class Init, class Put>
HWY_INLINE void Rows(const T* w, size_t rows, size_t columns, const T* x, const Init& init, const Put& put) {
  Multiply<T>(w, rows, columns, columns, 1, x, init, put);
}

// W' g
template <class T, class Init, class Put>
HWY_INLINE void Columns(const T* w, size_t rows, size_t columns, const T* g, const Init& init, const Put& put) {
  Multiply<T>(w, columns, 1, rows, columns, g, init, put);
}

// dw[i][j] = sum_t g[t][i] x[t][j], for `count` columns from j on
template <class T, size_t count>
HWY_INLINE void OuterOf(const T* g, size_t rows, const T* x, size_t columns, size_t hops, size_t i, size_t j, T* dw) {
  Vec<T> sums[count];
  COIL_UNROLL for (size_t k = 0; k < count; ++k) sums[k] = hn::Zero(Tag<T>());
  for (size_t t = 0; t < hops; ++t) {
    const Vec<T> a = Load(g, t * rows + i);
    COIL_UNROLL for (size_t k = 0; k < count; ++k) sums[k] = hn::MulAdd(a, Load(x, t * columns + j + k), sums[k]);
  }
  COIL_UNROLL for (size_t k = 0; k < count; ++k) Store<T>(sums[k], dw, i * columns + j + k);
}

template <class T>
HWY_NOINLINE void Outer(const T* g, size_t rows, const T* x, size_t columns, size_t hops, T* dw) {
  for (size_t i = 0; i < rows; ++i) {
    const size_t rest = columns % 8, whole = columns - rest;
    for (size_t j = 0; j < whole; j += 8) OuterOf<T, 8>(g, rows, x, columns, hops, i, j, dw);
    for (size_t j = 0; j < rest; ++j) OuterOf<T, 1>(g, rows, x, columns, hops, i, whole + j, dw);
  }
}

template <class T>
HWY_NOINLINE void Sums(const T* g, size_t rows, size_t hops, T* db) {
  for (size_t i = 0; i < rows; ++i) {
    Vec<T> sum = hn::Zero(Tag<T>());
    for (size_t t = 0; t < hops; ++t) sum = hn::Add(sum, Load(g, t * rows + i));
    Store<T>(sum, db, i);
  }
}

template <class T>
HWY_NOINLINE void SlowForward(const SlowMap& map, const T* p, SlowTape<T>& tape) {
  constexpr size_t N = kLanesOf<T>, units = SlowMap::units, hidden = SlowMap::hidden, head = SlowMap::head;
  const Vec<T> half = Splat(T(0.5));
  for (size_t k = 0; k < tape.hops; ++k) {
    const T *x = tape.features.data() + k * map.inputs * N, *c = tape.state.data() + k * units * N;
    T* z = tape.z.data() + k * hidden * N;
    T *gate = tape.gate.data() + k * units * N, *value = tape.value.data() + k * units * N;
    Rows<T>(
        p, hidden, map.inputs, x, [&](size_t i) { return Splat(p[map.in_bias + i]); },
        [&](size_t i, Vec<T> v) { Store<T>(v, z, i); });
    Rows<T>(
        p + map.recurrent, hidden, units, c, [&](size_t i) { return Load(z, i); },
        [&](size_t i, Vec<T> v) { Store<T>(TanhOf(v), z, i); });
    Rows<T>(
        p + map.value_weight, units, hidden, z, [&](size_t i) { return Splat(p[map.value_bias + i]); },
        [&](size_t i, Vec<T> v) { Store<T>(v, value, i); });
    const Vec<T> alive = Load(tape.alive.data(), k + 1);
    Rows<T>(
        p + map.gate_weight, units, hidden, z, [&](size_t i) { return Splat(p[map.gate_bias + i]); },
        [&](size_t i, Vec<T> v) {
          const Vec<T> g = hn::Mul(alive, hn::MulAdd(half, TanhOf(hn::Mul(half, v)), half)), before = Load(c, i);
          Store<T>(g, gate, i);
          Store<T>(hn::MulAdd(g, hn::Sub(Load(value, i), before), before), tape.state.data() + (k + 1) * units * N, i);
        });
  }
  for (size_t i = 0; i < tape.boundaries; ++i) {
    const size_t k = tape.hops + 1 - tape.boundaries + i;
    T *h = tape.head.data() + i * head * N, *film = tape.film.data() + i * map.film * N;
    Rows<T>(
        p + map.head_weight, head, units, tape.state.data() + k * units * N,
        [&](size_t j) { return Splat(p[map.head_bias + j]); }, [&](size_t j, Vec<T> v) { Store<T>(TanhOf(v), h, j); });
    const Vec<T> alive = Load(tape.alive.data(), k);
    Rows<T>(
        p + map.out_weight, map.film, head, h, [&](size_t j) { return Splat(p[map.out_bias + j]); },
        [&](size_t j, Vec<T> v) { Store<T>(hn::MulAdd(alive, v, Load(tape.base.data(), j)), film, j); });
  }
}

// Computes the gradients of the states from those of the film vectors at the boundaries, through the output head.
// Leaves the head's own gradient in tape.head_gradient.
template <class T>
HWY_NOINLINE void HeadBack(const SlowMap& map, const T* p, SlowTape<T>& tape) {
  constexpr size_t N = kLanesOf<T>, units = SlowMap::units, head = SlowMap::head;
  for (size_t i = 0; i < tape.boundaries; ++i) {
    const size_t k = tape.hops + 1 - tape.boundaries + i;
    T *film = tape.film_gradient.data() + i * map.film * N, *of_head = tape.head_gradient.data() + i * head * N;
    const T* h = tape.head.data() + i * head * N;
    const Vec<T> alive = Load(tape.alive.data(), k);
    for (size_t j = 0; j < map.film; ++j) Store<T>(hn::Mul(alive, Load(film, j)), film, j);
    Columns<T>(
        p + map.out_weight, map.film, head, film, [](size_t) { return hn::Zero(Tag<T>()); },
        [&](size_t j, Vec<T> v) {
          const Vec<T> t = Load(h, j);
          Store<T>(hn::NegMulAdd(hn::Mul(t, t), v, v), of_head, j);
        });
    Columns<T>(
        p + map.head_weight, head, units, of_head, [](size_t) { return hn::Zero(Tag<T>()); },
        [&](size_t j, Vec<T> v) { Store<T>(v, tape.state_gradient.data() + i * units * N, j); });
  }
}

template <class T>
HWY_NOINLINE void SlowBackward(const SlowMap& map, const T* p, SlowTape<T>& tape, T* gradient) {
  constexpr size_t N = kLanesOf<T>, units = SlowMap::units, hidden = SlowMap::hidden, head = SlowMap::head;
  const Tag<T> tag;
  HeadBack(map, p, tape);
  const size_t first = tape.hops + 1 - tape.boundaries;
  HWY_ALIGN T dc[units * N], direct[units * N], pushed[hidden * N];
  std::fill_n(dc, units * N, T(0));
  for (size_t k = tape.hops; k-- > 0;) {
    T *gate = tape.gate.data() + k * units * N, *value = tape.value.data() + k * units * N;
    T* dz = tape.z_gradient.data() + k * hidden * N;
    const T *z = tape.z.data() + k * hidden * N, *c = tape.state.data() + k * units * N;
    const T* own = k + 1 >= first ? tape.state_gradient.data() + (k + 1 - first) * units * N : nullptr;
    const Vec<T> alive = Load(tape.alive.data(), k + 1);
    for (size_t i = 0; i < units; ++i) {
      const Vec<T> g = Load(gate, i), d = own ? hn::Add(Load(dc, i), Load(own, i)) : Load(dc, i);
      Store<T>(hn::NegMulAdd(g, d, d), direct, i);
      // Where alive is 0, g is 0 too, and so is the sigmoid's derivative g (1 - g).
      const Vec<T> moved = hn::Sub(Load(value, i), Load(c, i)), slope = hn::Mul(alive, hn::NegMulAdd(g, g, g));
      Store<T>(hn::Mul(g, d), value, i);
      Store<T>(hn::Mul(hn::Mul(moved, d), slope), gate, i);
    }
    Columns<T>(
        p + map.value_weight, units, hidden, value, [&](size_t) { return hn::Zero(tag); },
        [&](size_t j, Vec<T> v) { Store<T>(v, pushed, j); });
    Columns<T>(
        p + map.gate_weight, units, hidden, gate, [&](size_t j) { return Load(pushed, j); },
        [&](size_t j, Vec<T> v) {
          const Vec<T> t = Load(z, j);
          Store<T>(hn::NegMulAdd(hn::Mul(t, t), v, v), dz, j);
        });
    Columns<T>(
        p + map.recurrent, hidden, units, dz, [&](size_t j) { return Load(direct, j); },
        [&](size_t j, Vec<T> v) { Store<T>(v, dc, j); });
  }
  const auto at = [&](size_t place) { return gradient + place * N; };
  const T *dz = tape.z_gradient.data(), *z = tape.z.data(), *gates = tape.gate.data(), *values = tape.value.data();
  Outer<T>(dz, hidden, tape.features.data(), map.inputs, tape.hops, at(map.in_weight));
  Sums<T>(dz, hidden, tape.hops, at(map.in_bias));
  Outer<T>(dz, hidden, tape.state.data(), units, tape.hops, at(map.recurrent));
  Outer<T>(gates, units, z, hidden, tape.hops, at(map.gate_weight));
  Sums<T>(gates, units, tape.hops, at(map.gate_bias));
  Outer<T>(values, units, z, hidden, tape.hops, at(map.value_weight));
  Sums<T>(values, units, tape.hops, at(map.value_bias));
  Outer<T>(tape.head_gradient.data(), head, tape.state.data() + first * units * N, units, tape.boundaries,
           at(map.head_weight));
  Sums<T>(tape.head_gradient.data(), head, tape.boundaries, at(map.head_bias));
  Outer<T>(tape.film_gradient.data(), map.film, tape.head.data(), head, tape.boundaries, at(map.out_weight));
  Sums<T>(tape.film_gradient.data(), map.film, tape.boundaries, at(map.out_bias));
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::capture
HWY_AFTER_NAMESPACE();

#endif
