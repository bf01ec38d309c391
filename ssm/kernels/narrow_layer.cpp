// Whole layers of eight channels: a bank of one, two or four complex modes, linear, FiLM, tanh, linear, residual.
// Values pass from one stage to the next in registers.
//
// 1. The bank. Its states and outputs are independent of the input up to one multiply-add, so that a single
//    frame waits only for that. The modes form two sums, of even and of odd modes; a single mode forms one.
// 2. The first matrix, FiLM, tanh. 3. The second matrix, added to the layer's input.
//
// Everywhere lanes are channels, and frames follow one after another. With vectors of 16 floats, groups of 16 frames
// fill all lanes instead: lanes are (even or odd mode, channel) in the bank and frames in the matrices. A single mode
// fills half of the bank's lanes. Both give the same bits, since each value is computed by the same operations in the
// same order. So do two streams side by side, in the frames that fill no group.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ssm/kernels/narrow_layer.cpp"
#include "hwy/foreach_target.h"

#include <algorithm>

#include "hwy/highway.h"
#include "ssm/kernels/math-inl.h"
#include "ssm/kernels/separate-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kWide = kHalfPad;

#if HWY_TARGET != HWY_SCALAR

// ---- one frame; a row of eight channels is one or two vectors

using Channels = hn::CappedTag<float, kWide>;
using ChannelsV = hn::Vec<Channels>;
inline constexpr size_t kParts = kWide / hn::MaxLanes(Channels());
struct Row {
  using V = ChannelsV;
  static constexpr size_t kStreams = 1, kVectors = kParts;
  V part[kVectors];
};

// Two streams side by side, with the same weights: each row is one vector of 16 floats, or two of 8. With vectors of 8,
// that only hides the latency of a single frame; with shorter ones, two streams do not fit into the registers.
HWY_INLINE bool PairsPay(size_t frames) { return HWY_TARGET == HWY_AVX3 || (HWY_TARGET == HWY_AVX2 && frames == 1); }

#if HWY_TARGET == HWY_AVX3
using Full = hn::CappedTag<float, 2 * kWide>;
using FullV = hn::Vec<Full>;
struct RowPair {
  using V = FullV;
  static constexpr size_t kStreams = 2, kVectors = 1;
  V part[kVectors];
};
HWY_INLINE FullV LoadTwice(const float* row) { return FullV{_mm512_broadcast_f32x8(_mm256_loadu_ps(row))}; }
#else
struct RowPair {
  using V = ChannelsV;
  static constexpr size_t kStreams = 2, kVectors = 2 * kParts;
  V part[kVectors];
};
#endif
template <class R>
using TagOf = hn::DFromV<typename R::V>;

// One place in the memory of each stream of a row.
template <class R>
struct Places {
  float* of[R::kStreams];
  HWY_INLINE Places operator+(size_t floats) const {
    if constexpr (R::kStreams == 1)
      return {{of[0] + floats}};
    else
      return {{of[0] + floats, of[1] + floats}};
  }
};

// A row of f(0) and, if there are more vectors, f(1) and so on. Initialised as a whole, because a default constructor
// would not have the target's attributes.
template <class R, class F>
HWY_INLINE R RowOf(const F& f) {
  if constexpr (R::kVectors == 1)
    return {{f(0)}};
  else if constexpr (R::kVectors == 2)
    return {{f(0), f(1)}};
  else
    return {{f(0), f(1), f(2), f(3)}};
}

// Vector i of what each stream has at its place; of one row that serves all streams; and the way back.
template <class R>
HWY_INLINE typename R::V PartAt(const Places<R>& at, size_t i) {
  const Channels d;
#if HWY_TARGET == HWY_AVX3
  if constexpr (R::kStreams == 2)
    return hn::Combine(Full(), hn::LoadU(d, at.of[1]), hn::LoadU(d, at.of[0]));
  else
#endif
    return hn::LoadU(d, at.of[i / kParts] + i % kParts * hn::Lanes(d));
}
template <class R>
HWY_INLINE typename R::V SharedPart(const float* row, size_t i) {
  const Channels d;
#if HWY_TARGET == HWY_AVX3
  if constexpr (R::kStreams == 2)
    return LoadTwice(row);
  else
#endif
    return hn::LoadU(d, row + i % kParts * hn::Lanes(d));
}
template <class R>
HWY_INLINE void StorePart(typename R::V value, const Places<R>& at, size_t i) {
  const Channels d;
#if HWY_TARGET == HWY_AVX3
  if constexpr (R::kStreams == 2) {
    hn::StoreU(hn::LowerHalf(value), d, at.of[0]);
    hn::StoreU(hn::UpperHalf(d, value), d, at.of[1]);
  } else
#endif
    hn::StoreU(value, d, at.of[i / kParts] + i % kParts * hn::Lanes(d));
}

template <class R>
HWY_INLINE R RowAt(const Places<R>& at) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return PartAt<R>(at, i); });
}
template <class R>
HWY_INLINE R SharedRow(const float* row) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return SharedPart<R>(row, i); });
}
template <class R>
HWY_INLINE void StoreRow(const R& row, const Places<R>& at) {
  for (size_t i = 0; i < R::kVectors; ++i) StorePart<R>(row.part[i], at, i);
}

template <class R>
HWY_INLINE R SetRow(float value) {
  return RowOf<R>([&](size_t) HWY_ATTR { return hn::Set(TagOf<R>(), value); });
}
// f(stream) in all lanes of the stream.
template <class R, class F>
HWY_INLINE R SetStreams(const F& f) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (R::kStreams == 2) {
    const Channels d;
    return {{hn::Combine(Full(), hn::Set(d, f(1)), hn::Set(d, f(0)))}};
  } else
#endif
    return RowOf<R>([&](size_t i) HWY_ATTR { return hn::Set(Channels(), f(i / kParts)); });
}
template <class R, class V = typename R::V>
HWY_INLINE R operator*(const R& a, const R& b) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return hn::Mul(a.part[i], b.part[i]); });
}
template <class R, class V = typename R::V>
HWY_INLINE R operator+(const R& a, const R& b) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return hn::Add(a.part[i], b.part[i]); });
}
template <class R, class V = typename R::V>
HWY_INLINE R operator-(const R& a, const R& b) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return hn::Sub(a.part[i], b.part[i]); });
}
template <class R>
HWY_INLINE R MulAdd(const R& a, const R& b, const R& c) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return hn::MulAdd(a.part[i], b.part[i], c.part[i]); });
}
template <class R>
HWY_INLINE R NegMulAdd(const R& a, const R& b, const R& c) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return hn::NegMulAdd(a.part[i], b.part[i], c.part[i]); });
}
template <class R>
HWY_INLINE R TanhOf(const R& x) {
  return RowOf<R>([&](size_t i) HWY_ATTR { return Tanh(TagOf<R>(), x.part[i]); });
}

// Each channel's value in all lanes of its stream.
template <class V>
struct Spread {
  V value[kWide];
};
template <class V>
HWY_INLINE Spread<V> SpreadOf(V low, V high) {
  return {{hn::Broadcast<0>(low), hn::Broadcast<1>(low), hn::Broadcast<2>(low), hn::Broadcast<3>(low),
           hn::Broadcast<0>(high), hn::Broadcast<1>(high), hn::Broadcast<2>(high), hn::Broadcast<3>(high)}};
}
// For vector i of the row.
template <class R>
HWY_INLINE Spread<typename R::V> SpreadOf(const R& x, size_t i) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (R::kStreams == 2) {
    const __m512 both = x.part[i].raw;
    return SpreadOf(FullV{_mm512_shuffle_f32x4(both, both, 0xa0)}, FullV{_mm512_shuffle_f32x4(both, both, 0xf5)});
  } else
#endif
      if constexpr (kParts == 1)
    return SpreadOf(hn::ConcatLowerLower(Channels(), x.part[i], x.part[i]),
                    hn::ConcatUpperUpper(Channels(), x.part[i], x.part[i]));
  else
    return SpreadOf(x.part[i / kParts * kParts], x.part[i / kParts * kParts + 1]);
}

// W x + b as four sums of two columns.
template <class R>
HWY_INLINE R Product(const PackedLinear& w, const R& x) {
  using V = typename R::V;
  const float *weights = w.f32.data(), *bias = w.bias.data();
  return RowOf<R>([&](size_t i) HWY_ATTR {
    const Spread<V> spread = SpreadOf(x, i);
    const auto column = [&](size_t k) HWY_ATTR { return SharedPart<R>(weights + k * kWide, i); };
    V sum[4];
    for (size_t k = 0; k < 4; ++k)
      sum[k] =
          k == 0 ? hn::MulAdd(column(k), spread.value[k], SharedPart<R>(bias, i)) : hn::Mul(column(k), spread.value[k]);
    for (size_t k = 4; k < kWide; ++k) sum[k - 4] = hn::MulAdd(column(k), spread.value[k], sum[k - 4]);
    return hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
  });
}

// Stage 1 for n rows: the outputs of the modes before a row, and the row itself; then the row enters the states.
template <class R, size_t kModes>
HWY_INLINE void Listen(const S4dKernel& s, const Places<R>& h, size_t n, const Places<R>& state, const Places<R>& x) {
  using V = typename R::V;
  const Places<R> im_state = state + kModes * kWide;
  for (size_t i = 0; i < R::kVectors; ++i) {
    const auto weight = [&](const float* rows, size_t mode) HWY_ATTR { return SharedPart<R>(rows + mode * kWide, i); };
    const V direct = SharedPart<R>(s.D, i);
    V re[kModes], im[kModes];
    for (size_t m = 0; m < kModes; ++m)
      re[m] = PartAt<R>(state + m * kWide, i), im[m] = PartAt<R>(im_state + m * kWide, i);
    for (size_t t = 0; t < n; ++t) {
      const V u = PartAt<R>(h + t * kWide, i);
      V sum[2];
      for (size_t m = 0; m < kModes; ++m) {
        const V c = weight(s.c_re, m);
        sum[m % 2] = m < 2 ? hn::Mul(c, re[m]) : hn::MulAdd(c, re[m], sum[m % 2]);
        sum[m % 2] = hn::NegMulAdd(weight(s.c_im, m), im[m], sum[m % 2]);
        const V a = weight(s.z_re, m), b = weight(s.z_im, m);
        const V next = hn::MulAdd(a, re[m], hn::NegMulAdd(b, im[m], u));
        im[m] = hn::MulAdd(a, im[m], hn::Mul(b, re[m]));
        re[m] = next;
      }
      if constexpr (kModes > 1) sum[0] = hn::Add(sum[0], sum[1]);
      StorePart<R>(hn::MulAdd(direct, u, sum[0]), x + t * kWide, i);
    }
    for (size_t m = 0; m < kModes; ++m)
      StorePart<R>(re[m], state + m * kWide, i), StorePart<R>(im[m], im_state + m * kWide, i);
  }
}

// The FiLM vector of one layer. `slope` is never null.
struct LayerFilm {
  const float *base, *slope;
  float first;
};
HWY_INLINE LayerFilm FilmOf(const NarrowLayer& m, const NarrowRun& run) {
  alignas(kAlignment) static constexpr float kStill[2 * kWide] = {};
  if (!m.has_film || !run.film_base) return {nullptr, nullptr, 0};
  return {run.film_base + m.film_at, run.film_slope ? run.film_slope + m.film_at : kStill, run.first};
}
// Of each stream of a row; either all of them have one or none.
template <class R>
struct RowFilm {
  LayerFilm of[R::kStreams];
};
template <class R>
HWY_INLINE RowFilm<R> FilmOf(const NarrowLayer& m, const NarrowRun* runs) {
  if constexpr (R::kStreams == 1)
    return {{FilmOf(m, runs[0])}};
  else
    return {{FilmOf(m, runs[0]), FilmOf(m, runs[1])}};
}

// scale or shift at the frame t
template <class R>
HWY_INLINE R FilmRow(const RowFilm<R>& moving, const R& time, size_t at) {
  const auto row = [&](auto pointer) HWY_ATTR {
    Places<R> places;
    for (size_t s = 0; s < R::kStreams; ++s) places.of[s] = const_cast<float*>(moving.of[s].*pointer + at);
    return RowAt<R>(places);
  };
  return MulAdd(row(&LayerFilm::slope), time, row(&LayerFilm::base));
}

// Stage 2: from the bank's output to tanh(..) - rest.
template <bool kMoves, class R>
HWY_INLINE R Bend(const NarrowLayer& m, const RowFilm<R>& moving, size_t t, const R& x) {
  R v = Product(*m.in, x), rest = SharedRow<R>(m.rest);
  if constexpr (kMoves) {
    const R time = SetStreams<R>([&](size_t s) { return moving.of[s].first + float(t); });
    const R scale = SetRow<R>(1.0f) + FilmRow(moving, time, 0), shift = FilmRow(moving, time, kWide);
    v = MulAdd(scale, v, shift);
    if (m.rest_moves) rest = TanhOf(MulAdd(scale, SharedRow<R>(m.in->bias.data()), shift));
  }
  return TanhOf(v) - rest;
}

// Stage by stage, so that the frames of a stage do not wait for each other.
template <bool kMoves, class R, size_t kModes>
HWY_INLINE void Frames(const NarrowLayer& m, const RowFilm<R>& film, const Places<R>& state, size_t t, size_t end,
                       const Places<R>& h) {
  constexpr size_t kTogether = 16;
  alignas(kAlignment) float memory[R::kStreams * kTogether * kWide];
  Places<R> rows;
  for (size_t s = 0; s < R::kStreams; ++s) rows.of[s] = memory + s * kTogether * kWide;
  while (t < end) {
    const size_t n = HWY_MIN(kTogether, end - t);
    const Places<R> in = h + t * kWide;
    Listen<R, kModes>(m.bank, in, n, state, rows);
    for (size_t i = 0; i < n; ++i) {
      const Places<R> row = rows + i * kWide;
      StoreRow(Bend<kMoves>(m, film, t + i, RowAt<R>(row)), row);
    }
    for (size_t i = 0; i < n; ++i)
      StoreRow(RowAt<R>(in + i * kWide) + Product(*m.out, RowAt<R>(rows + i * kWide)), in + i * kWide);
    t += n;
  }
}

#if HWY_TARGET == HWY_AVX3

// ---- groups of 16 frames

inline constexpr size_t kGroupFrames = 16, kRowPairs = kGroupFrames / 2;

// A 4 x 4 transpose within each quarter.
HWY_INLINE void TransposeQuarters(FullV (&v)[4]) {
  const hn::Repartition<double, Full> pairs;
  const Full d;
  const auto two = [&](FullV x) HWY_ATTR { return hn::BitCast(pairs, x); };
  const FullV a = hn::InterleaveLower(d, v[0], v[1]), b = hn::InterleaveUpper(d, v[0], v[1]),
              c = hn::InterleaveLower(d, v[2], v[3]), e = hn::InterleaveUpper(d, v[2], v[3]);
  v[0] = hn::BitCast(d, hn::InterleaveLower(pairs, two(a), two(c)));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, two(a), two(c)));
  v[2] = hn::BitCast(d, hn::InterleaveLower(pairs, two(b), two(e)));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, two(b), two(e)));
}

// The frames that the lanes of a channel hold.
alignas(64) inline constexpr float kFrameOfLane[kGroupFrames] = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};

// From pairs of rows, frame 2 i in the lower half, to one vector a channel, and back.
HWY_INLINE void RowsToChannels(const FullV (&rows)[kRowPairs], FullV (&channels)[kWide]) {
  FullV low[4] = {rows[0], rows[1], rows[2], rows[3]}, high[4] = {rows[4], rows[5], rows[6], rows[7]};
  TransposeQuarters(low), TransposeQuarters(high);
  for (size_t c = 0; c < 4; ++c) {
    channels[c] = FullV{_mm512_shuffle_f32x4(low[c].raw, high[c].raw, 0x88)};
    channels[4 + c] = FullV{_mm512_shuffle_f32x4(low[c].raw, high[c].raw, 0xdd)};
  }
}
HWY_INLINE void ChannelsToRows(const FullV (&channels)[kWide], FullV (&rows)[kRowPairs]) {
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  FullV low[4], high[4];
  for (size_t c = 0; c < 4; ++c) {
    const __m512d a = _mm512_castps_pd(channels[c].raw), b = _mm512_castps_pd(channels[4 + c].raw);
    low[c] = FullV{_mm512_castpd_ps(_mm512_permutex2var_pd(a, first, b))};
    high[c] = FullV{_mm512_castpd_ps(_mm512_permutex2var_pd(a, second, b))};
  }
  TransposeQuarters(low), TransposeQuarters(high);
  for (size_t i = 0; i < 4; ++i) rows[i] = low[i], rows[4 + i] = high[i];
}

// The states of a bank: two modes in each vector, or the only one in a row.
template <size_t kModes>
struct Bank {
  static constexpr size_t kPairs = kModes / 2;
  FullV re[kPairs], im[kPairs];
};
template <>
struct Bank<1> {
  ChannelsV re, im;
};

template <size_t kModes>
HWY_INLINE Bank<kModes> LoadBank(const float* state) {
  const Full d;
  if constexpr (kModes == 1)
    return {hn::LoadU(Channels(), state), hn::LoadU(Channels(), state + kWide)};
  else if constexpr (kModes == 2)
    return {{hn::LoadU(d, state)}, {hn::LoadU(d, state + kGroupFrames)}};
  else
    return {{hn::LoadU(d, state), hn::LoadU(d, state + kGroupFrames)},
            {hn::LoadU(d, state + 2 * kGroupFrames), hn::LoadU(d, state + 3 * kGroupFrames)}};
}
template <size_t kModes>
HWY_INLINE void StoreBank(const Bank<kModes>& bank, float* state) {
  if constexpr (kModes == 1) {
    hn::StoreU(bank.re, Channels(), state);
    hn::StoreU(bank.im, Channels(), state + kWide);
  } else {
    const Full d;
    constexpr size_t kPairs = Bank<kModes>::kPairs;
    for (size_t p = 0; p < kPairs; ++p) {
      hn::StoreU(bank.re[p], d, state + p * kGroupFrames);
      hn::StoreU(bank.im[p], d, state + (kPairs + p) * kGroupFrames);
    }
  }
}

// The outputs of the modes before a row, in one half or in both; then the row enters the states.
HWY_INLINE ChannelsV Advance(const S4dKernel& s, const float* row, Bank<1>& bank) {
  const Channels d;
  const ChannelsV u = hn::LoadU(d, row), z_re = hn::LoadU(d, s.z_re), z_im = hn::LoadU(d, s.z_im);
  const ChannelsV sum = hn::NegMulAdd(hn::LoadU(d, s.c_im), bank.im, hn::Mul(hn::LoadU(d, s.c_re), bank.re));
  const ChannelsV re = hn::MulAdd(z_re, bank.re, hn::NegMulAdd(z_im, bank.im, u));
  bank.im = hn::MulAdd(z_re, bank.im, hn::Mul(z_im, bank.re));
  bank.re = re;
  return sum;
}
template <size_t kModes>
HWY_INLINE FullV Advance(const S4dKernel& s, FullV u, Bank<kModes>& bank) {
  const Full d;
  constexpr size_t kPairs = Bank<kModes>::kPairs;
  const auto at = [&](const float* rows, size_t pair) HWY_ATTR { return hn::LoadU(d, rows + pair * kGroupFrames); };
  FullV sum;
  for (size_t p = 0; p < kPairs; ++p) {
    sum = p == 0 ? hn::Mul(at(s.c_re, p), bank.re[p]) : hn::MulAdd(at(s.c_re, p), bank.re[p], sum);
    sum = hn::NegMulAdd(at(s.c_im, p), bank.im[p], sum);
  }
  for (size_t p = 0; p < kPairs; ++p) {
    const FullV z_re = at(s.z_re, p), z_im = at(s.z_im, p);
    const FullV re = hn::MulAdd(z_re, bank.re[p], hn::NegMulAdd(z_im, bank.im[p], u));
    bank.im[p] = hn::MulAdd(z_re, bank.im[p], hn::Mul(z_im, bank.re[p]));
    bank.re[p] = re;
  }
  return sum;
}

// Rows 2 i and 2 i + 1 of h.
template <size_t kModes>
HWY_INLINE FullV ListenToPair(const S4dKernel& s, const float* h, size_t i, Bank<kModes>& bank) {
  const Full d;
  const float* row = h + 2 * i * kWide;
  FullV sum;
  if constexpr (kModes == 1) {
    const ChannelsV first = Advance(s, row, bank), second = Advance(s, row + kWide, bank);
    sum = hn::Combine(d, second, first);
  } else {
    const FullV first = Advance(s, LoadTwice(row), bank), second = Advance(s, LoadTwice(row + kWide), bank);
    sum = hn::Add(hn::ConcatLowerLower(d, second, first), hn::ConcatUpperUpper(d, second, first));
  }
  return hn::MulAdd(LoadTwice(s.D), hn::LoadU(d, row), sum);
}

HWY_INLINE FullV ProductRow(const PackedLinear& w, const FullV (&x)[kWide], size_t row) {
  const Full d;
  const float* weights = w.f32.data() + row;
  const auto weight = [&](size_t k) HWY_ATTR { return hn::Set(d, weights[k * kWide]); };
  FullV sum[4] = {hn::MulAdd(weight(0), x[0], hn::Set(d, w.bias[row]))};
  for (size_t k = 1; k < 4; ++k) sum[k] = hn::Mul(weight(k), x[k]);
  for (size_t k = 4; k < kWide; ++k) sum[k - 4] = hn::MulAdd(weight(k), x[k], sum[k - 4]);
  return hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
}

// One channel of stage 2.
template <bool kMoves>
HWY_INLINE FullV BendChannel(const NarrowLayer& m, const LayerFilm& moving, FullV time, const FullV (&x)[kWide],
                             size_t c) {
  const Full d;
  FullV v = ProductRow(*m.in, x, c), rest = hn::Set(d, m.rest[c]);
  if constexpr (kMoves) {
    const auto film = [&](size_t at) HWY_ATTR {
      return hn::MulAdd(hn::Set(d, moving.slope[at]), time, hn::Set(d, moving.base[at]));
    };
    const FullV scale = hn::Add(hn::Set(d, 1.0f), film(c)), shift = film(kWide + c);
    v = hn::MulAdd(scale, v, shift);
    if (m.rest_moves) rest = Tanh(d, hn::MulAdd(scale, hn::Set(d, m.in->bias[c]), shift));
  }
  return hn::Sub(Tanh(d, v), rest);
}

// Stages 2 and 3 for the 16 rows at h, whose stage 1 is in `rows`. Stage 1 of the next 16 rows, if there are any, goes
// in between, because each of its frames waits for the one before.
template <bool kMoves, bool kNext, size_t kModes>
HWY_INLINE void Group(const NarrowLayer& m, const LayerFilm& film, size_t t, float* h, Bank<kModes>& bank,
                      FullV (&rows)[kRowPairs]) {
  const Full d;
  FullV x[kWide], a[kWide];
  RowsToChannels(rows, x);
  const FullV time = hn::Add(hn::Set(d, film.first + float(t)), hn::Load(d, kFrameOfLane));
  for (size_t c = 0; c < kWide; ++c) {
    a[c] = BendChannel<kMoves>(m, film, time, x, c);
    if constexpr (kNext) rows[c] = ListenToPair(m.bank, h + kGroupFrames * kWide, c, bank);
  }
  for (size_t c = 0; c < kWide; ++c) x[c] = ProductRow(*m.out, a, c);
  FullV added[kRowPairs];
  ChannelsToRows(x, added);
  for (size_t i = 0; i < kRowPairs; ++i, h += 2 * kWide) hn::StoreU(hn::Add(hn::LoadU(d, h), added[i]), d, h);
}

// Returns the number of frames that it processed.
template <bool kMoves, size_t kModes>
HWY_INLINE size_t Groups(const NarrowLayer& m, const LayerFilm& film, float* state, size_t frames, float* h) {
  const size_t groups = frames / kGroupFrames;
  if (groups == 0) return 0;
  Bank<kModes> bank = LoadBank<kModes>(state);
  FullV rows[kRowPairs];
  for (size_t i = 0; i < kRowPairs; ++i) rows[i] = ListenToPair(m.bank, h, i, bank);
  size_t t = 0;
  for (size_t g = 1; g < groups; ++g, t += kGroupFrames) Group<kMoves, true>(m, film, t, h + t * kWide, bank, rows);
  Group<kMoves, false>(m, film, t, h + t * kWide, bank, rows);
  StoreBank(bank, state);
  return t + kGroupFrames;
}
#else
template <bool kMoves, size_t kModes>
HWY_INLINE size_t Groups(const NarrowLayer&, const LayerFilm&, float*, size_t, float*) {
  return 0;
}
#endif

// Stage 1 for one frame but for the frame itself.
template <class R, size_t kModes>
HWY_INLINE R ListenOnce(const S4dKernel& s, const R& u, const Places<R>& re_state) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (R::kStreams == 1 && kModes > 1) {
    const Full d;
    Bank<kModes> bank = LoadBank<kModes>(re_state.of[0]);
    const FullV sum = Advance(s, hn::Combine(d, u.part[0], u.part[0]), bank);
    StoreBank(bank, re_state.of[0]);
    return {{hn::Add(hn::LowerHalf(sum), hn::UpperHalf(Channels(), sum))}};
  }
#endif
  const auto weight = [](const float* rows, size_t mode) HWY_ATTR { return SharedRow<R>(rows + mode * kWide); };
  const Places<R> im_state = re_state + kModes * kWide;
  R sum[2] = {SetRow<R>(0), SetRow<R>(0)};
  for (size_t m = 0; m < kModes; ++m) {
    const R re = RowAt<R>(re_state + m * kWide), im = RowAt<R>(im_state + m * kWide), z_re = weight(s.z_re, m),
            z_im = weight(s.z_im, m);
    sum[m % 2] = m < 2 ? weight(s.c_re, m) * re : MulAdd(weight(s.c_re, m), re, sum[m % 2]);
    sum[m % 2] = NegMulAdd(weight(s.c_im, m), im, sum[m % 2]);
    StoreRow(MulAdd(z_re, re, NegMulAdd(z_im, im, u)), re_state + m * kWide);
    StoreRow(MulAdd(z_re, im, z_im * re), im_state + m * kWide);
  }
  return kModes == 1 ? sum[0] : sum[0] + sum[1];
}
template <class R>
HWY_INLINE R ListenOnce(const S4dKernel& s, const R& u, const Places<R>& state) {
  return s.modes == 1   ? ListenOnce<R, 1>(s, u, state)
         : s.modes == 2 ? ListenOnce<R, 2>(s, u, state)
                        : ListenOnce<R, 4>(s, u, state);
}

template <class R>
HWY_INLINE Places<R> StatesOf(const NarrowLayer& m, const NarrowRun* runs) {
  Places<R> states;
  for (size_t s = 0; s < R::kStreams; ++s) states.of[s] = runs[s].arena + m.state_at;
  return states;
}

template <bool kMoves, class R, size_t kModes>
HWY_NOINLINE void Layer(const NarrowLayer& m, const RowFilm<R>& film, const Places<R>& state, size_t frames,
                        const Places<R>& h) {
  size_t done = 0;
  for (size_t s = 0; s < R::kStreams; ++s) done = Groups<kMoves, kModes>(m, film.of[s], state.of[s], frames, h.of[s]);
  if (done < frames) Frames<kMoves, R, kModes>(m, film, state, done, frames, h);
}
template <class R, size_t kModes>
HWY_INLINE void Layer(const NarrowLayer& m, const NarrowRun* runs, const Places<R>& h) {
  const RowFilm<R> film = FilmOf<R>(m, runs);
  const Places<R> states = StatesOf<R>(m, runs);
  if (film.of[0].base)
    Layer<true, R, kModes>(m, film, states, runs->frames, h);
  else
    Layer<false, R, kModes>(m, film, states, runs->frames, h);
}

// A single frame stays in registers from layer to layer.
template <class R>
HWY_INLINE void OneFrame(std::span<const NarrowLayer> layers, const NarrowRun* runs, const Places<R>& h) {
  R u = RowAt<R>(h);
  for (const NarrowLayer& m : layers) {
    const RowFilm<R> film = FilmOf<R>(m, runs);
    const R x = MulAdd(SharedRow<R>(m.bank.D), u, ListenOnce<R>(m.bank, u, StatesOf<R>(m, runs)));
    u = u + Product(*m.out, film.of[0].base ? Bend<true>(m, film, 0, x) : Bend<false>(m, film, 0, x));
  }
  StoreRow(u, h);
}

template <class R>
HWY_INLINE void RunLayers(std::span<const NarrowLayer> layers, const NarrowRun* runs, const Places<R>& h) {
  if (runs->frames == 1) return OneFrame<R>(layers, runs, h);
  for (const NarrowLayer& m : layers) {
    if (m.bank.modes == 1)
      Layer<R, 1>(m, runs, h);
    else if (m.bank.modes == 2)
      Layer<R, 2>(m, runs, h);
    else
      Layer<R, 4>(m, runs, h);
  }
}

void NarrowLayers(std::span<const NarrowLayer> layers, std::span<const NarrowRun> runs, float* h) {
  for (size_t i = 0; i < runs.size();) {
    const size_t floats = runs[i].frames * kWide;
    if (i + 1 < runs.size() && runs[i + 1].frames == runs[i].frames && PairsPay(runs[i].frames)) {
      RunLayers<RowPair>(layers, &runs[i], {{h, h + floats}});
      h += 2 * floats, i += 2;
    } else {
      RunLayers<Row>(layers, &runs[i], {{h}});
      h += floats, i += 1;
    }
  }
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();
