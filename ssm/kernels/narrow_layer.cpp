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
// same order.
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
  ChannelsV part[kParts];
};

// A row of f(0) and, if there is one, f(1). Initialised as a whole, because a default constructor would not have the
// target's attributes.
template <class F>
HWY_INLINE Row RowOf(const F& f) {
  if constexpr (kParts == 1)
    return {{f(0)}};
  else
    return {{f(0), f(1)}};
}

HWY_INLINE Row LoadRow(const float* from) {
  const Channels d;
  return RowOf([&](size_t i) HWY_ATTR { return hn::LoadU(d, from + i * hn::Lanes(d)); });
}
HWY_INLINE void StoreRow(const Row& row, float* to) {
  const Channels d;
  for (size_t i = 0; i < kParts; ++i) hn::StoreU(row.part[i], d, to + i * hn::Lanes(d));
}
HWY_INLINE Row SetRow(float value) {
  return RowOf([&](size_t) HWY_ATTR { return hn::Set(Channels(), value); });
}
HWY_INLINE Row operator*(const Row& a, const Row& b) {
  return RowOf([&](size_t i) HWY_ATTR { return hn::Mul(a.part[i], b.part[i]); });
}
HWY_INLINE Row operator+(const Row& a, const Row& b) {
  return RowOf([&](size_t i) HWY_ATTR { return hn::Add(a.part[i], b.part[i]); });
}
HWY_INLINE Row operator-(const Row& a, const Row& b) {
  return RowOf([&](size_t i) HWY_ATTR { return hn::Sub(a.part[i], b.part[i]); });
}
HWY_INLINE Row MulAdd(const Row& a, const Row& b, const Row& c) {
  return RowOf([&](size_t i) HWY_ATTR { return hn::MulAdd(a.part[i], b.part[i], c.part[i]); });
}
HWY_INLINE Row NegMulAdd(const Row& a, const Row& b, const Row& c) {
  return RowOf([&](size_t i) HWY_ATTR { return hn::NegMulAdd(a.part[i], b.part[i], c.part[i]); });
}
HWY_INLINE Row TanhOf(const Row& x) {
  return RowOf([&](size_t i) HWY_ATTR { return Tanh(Channels(), x.part[i]); });
}

// Each channel's value in all lanes.
struct Spread {
  ChannelsV value[kWide];
};
HWY_INLINE Spread SpreadOf(ChannelsV low, ChannelsV high) {
  return {{hn::Broadcast<0>(low), hn::Broadcast<1>(low), hn::Broadcast<2>(low), hn::Broadcast<3>(low),
           hn::Broadcast<0>(high), hn::Broadcast<1>(high), hn::Broadcast<2>(high), hn::Broadcast<3>(high)}};
}
HWY_INLINE Spread SpreadOf(const Row& x) {
  const Channels d;
  if constexpr (kParts == 1)
    return SpreadOf(hn::ConcatLowerLower(d, x.part[0], x.part[0]), hn::ConcatUpperUpper(d, x.part[0], x.part[0]));
  else
    return SpreadOf(x.part[0], x.part[1]);
}

// W x + b as four sums of two columns.
HWY_INLINE Row Product(const PackedLinear& w, const Row& x) {
  const float *weights = w.f32.data(), *bias = w.bias.data();
  const Spread spread = SpreadOf(x);
  const Channels d;
  return RowOf([&](size_t i) HWY_ATTR {
    const size_t at = i * hn::Lanes(d);
    const auto column = [&](size_t k) HWY_ATTR { return hn::LoadU(d, weights + k * kWide + at); };
    ChannelsV sum[4];
    for (size_t k = 0; k < 4; ++k)
      sum[k] = k == 0 ? hn::MulAdd(column(k), spread.value[k], hn::LoadU(d, bias + at))
                      : hn::Mul(column(k), spread.value[k]);
    for (size_t k = 4; k < kWide; ++k) sum[k - 4] = hn::MulAdd(column(k), spread.value[k], sum[k - 4]);
    return hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
  });
}

// Stage 1 for n rows: the outputs of the modes before a row, and the row itself; then the row enters the states.
template <size_t kModes>
HWY_INLINE void Listen(const S4dKernel& s, const float* h, size_t n, float* state, float* x) {
  using V = ChannelsV;
  const Channels d;
  for (size_t at = 0; at < kWide; at += hn::Lanes(d)) {
    const float *z_re = s.z_re + at, *z_im = s.z_im + at, *c_re = s.c_re + at, *c_im = s.c_im + at;
    float *re_state = state + at, *im_state = re_state + kModes * kWide;
    const V direct = hn::LoadU(d, s.D + at);
    V re[kModes], im[kModes];
    for (size_t m = 0; m < kModes; ++m)
      re[m] = hn::LoadU(d, re_state + m * kWide), im[m] = hn::LoadU(d, im_state + m * kWide);
    for (size_t t = 0; t < n; ++t) {
      const V u = hn::LoadU(d, h + t * kWide + at);
      V sum[2];
      for (size_t m = 0; m < kModes; ++m) {
        const V c = hn::LoadU(d, c_re + m * kWide);
        sum[m % 2] = m < 2 ? hn::Mul(c, re[m]) : hn::MulAdd(c, re[m], sum[m % 2]);
        sum[m % 2] = hn::NegMulAdd(hn::LoadU(d, c_im + m * kWide), im[m], sum[m % 2]);
        const V a = hn::LoadU(d, z_re + m * kWide), b = hn::LoadU(d, z_im + m * kWide);
        const V next = hn::MulAdd(a, re[m], hn::NegMulAdd(b, im[m], u));
        im[m] = hn::MulAdd(a, im[m], hn::Mul(b, re[m]));
        re[m] = next;
      }
      if constexpr (kModes > 1) sum[0] = hn::Add(sum[0], sum[1]);
      hn::StoreU(hn::MulAdd(direct, u, sum[0]), d, x + t * kWide + at);
    }
    for (size_t m = 0; m < kModes; ++m)
      hn::StoreU(re[m], d, re_state + m * kWide), hn::StoreU(im[m], d, im_state + m * kWide);
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

// Stage 2: from the bank's output to tanh(..) - rest.
template <bool kMoves>
HWY_INLINE Row Bend(const NarrowLayer& m, const LayerFilm& moving, size_t t, const Row& x) {
  Row v = Product(*m.in, x), rest = LoadRow(m.rest);
  if constexpr (kMoves) {
    const Row time = SetRow(moving.first + float(t));
    const auto film = [&](size_t at)
                          HWY_ATTR { return MulAdd(LoadRow(moving.slope + at), time, LoadRow(moving.base + at)); };
    const Row scale = SetRow(1.0f) + film(0), shift = film(kWide);
    v = MulAdd(scale, v, shift);
    if (m.rest_moves) rest = TanhOf(MulAdd(scale, LoadRow(m.in->bias.data()), shift));
  }
  return TanhOf(v) - rest;
}

// Stage by stage, so that the frames of a stage do not wait for each other.
template <bool kMoves, size_t kModes>
HWY_INLINE void Frames(const NarrowLayer& m, const LayerFilm& film, float* state, size_t t, size_t end, float* h) {
  constexpr size_t kTogether = 16;
  alignas(kAlignment) float rows[kTogether * kWide];
  while (t < end) {
    const size_t n = HWY_MIN(kTogether, end - t);
    float* const in = h + t * kWide;
    Listen<kModes>(m.bank, in, n, state, rows);
    for (size_t i = 0; i < n; ++i) StoreRow(Bend<kMoves>(m, film, t + i, LoadRow(rows + i * kWide)), rows + i * kWide);
    for (size_t i = 0; i < n; ++i)
      StoreRow(LoadRow(in + i * kWide) + Product(*m.out, LoadRow(rows + i * kWide)), in + i * kWide);
    t += n;
  }
}

#if HWY_TARGET == HWY_AVX3

// ---- groups of 16 frames

inline constexpr size_t kGroupFrames = 16, kRowPairs = kGroupFrames / 2;
using Full = hn::CappedTag<float, kGroupFrames>;
using FullV = hn::Vec<Full>;

HWY_INLINE FullV LoadTwice(const float* row) { return FullV{_mm512_broadcast_f32x8(_mm256_loadu_ps(row))}; }

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
    return {LoadRow(state).part[0], LoadRow(state + kWide).part[0]};
  else if constexpr (kModes == 2)
    return {{hn::LoadU(d, state)}, {hn::LoadU(d, state + kGroupFrames)}};
  else
    return {{hn::LoadU(d, state), hn::LoadU(d, state + kGroupFrames)},
            {hn::LoadU(d, state + 2 * kGroupFrames), hn::LoadU(d, state + 3 * kGroupFrames)}};
}
template <size_t kModes>
HWY_INLINE void StoreBank(const Bank<kModes>& bank, float* state) {
  if constexpr (kModes == 1) {
    StoreRow({{bank.re}}, state);
    StoreRow({{bank.im}}, state + kWide);
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
template <size_t kModes>
HWY_INLINE Row ListenOnce(const S4dKernel& s, const Row& u, float* re_state) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (kModes > 1) {
    const Full d;
    Bank<kModes> bank = LoadBank<kModes>(re_state);
    const FullV sum = Advance(s, hn::Combine(d, u.part[0], u.part[0]), bank);
    StoreBank(bank, re_state);
    return {{hn::Add(hn::LowerHalf(sum), hn::UpperHalf(Channels(), sum))}};
  }
#endif
  const auto at = [](const float* rows, size_t mode) HWY_ATTR { return LoadRow(rows + mode * kWide); };
  float* im_state = re_state + kModes * kWide;
  Row sum[2] = {SetRow(0), SetRow(0)};
  for (size_t m = 0; m < kModes; ++m) {
    const Row re = at(re_state, m), im = at(im_state, m), z_re = at(s.z_re, m), z_im = at(s.z_im, m);
    sum[m % 2] = m < 2 ? at(s.c_re, m) * re : MulAdd(at(s.c_re, m), re, sum[m % 2]);
    sum[m % 2] = NegMulAdd(at(s.c_im, m), im, sum[m % 2]);
    StoreRow(MulAdd(z_re, re, NegMulAdd(z_im, im, u)), re_state + m * kWide);
    StoreRow(MulAdd(z_re, im, z_im * re), im_state + m * kWide);
  }
  return kModes == 1 ? sum[0] : sum[0] + sum[1];
}
HWY_INLINE Row ListenOnce(const S4dKernel& s, const Row& u, float* state) {
  return s.modes == 1   ? ListenOnce<1>(s, u, state)
         : s.modes == 2 ? ListenOnce<2>(s, u, state)
                        : ListenOnce<4>(s, u, state);
}

template <bool kMoves, size_t kModes>
HWY_NOINLINE void Layer(const NarrowLayer& m, const LayerFilm& film, float* state, size_t frames, float* h) {
  const size_t done = Groups<kMoves, kModes>(m, film, state, frames, h);
  if (done < frames) Frames<kMoves, kModes>(m, film, state, done, frames, h);
}
template <size_t kModes>
HWY_INLINE void Layer(const NarrowLayer& m, const NarrowRun& run, float* h) {
  const LayerFilm film = FilmOf(m, run);
  if (film.base)
    Layer<true, kModes>(m, film, run.arena + m.state_at, run.frames, h);
  else
    Layer<false, kModes>(m, film, run.arena + m.state_at, run.frames, h);
}

// A single frame stays in registers from layer to layer.
HWY_INLINE void OneFrame(std::span<const NarrowLayer> layers, const NarrowRun& run, float* h) {
  Row u = LoadRow(h);
  for (const NarrowLayer& m : layers) {
    const LayerFilm film = FilmOf(m, run);
    const Row x = MulAdd(LoadRow(m.bank.D), u, ListenOnce(m.bank, u, run.arena + m.state_at));
    u = u + Product(*m.out, film.base ? Bend<true>(m, film, 0, x) : Bend<false>(m, film, 0, x));
  }
  StoreRow(u, h);
}

void NarrowLayers(std::span<const NarrowLayer> layers, const NarrowRun& run, float* h) {
  if (run.frames == 1) return OneFrame(layers, run, h);
  for (const NarrowLayer& m : layers) {
    if (m.bank.modes == 1)
      Layer<1>(m, run, h);
    else if (m.bank.modes == 2)
      Layer<2>(m, run, h);
    else
      Layer<4>(m, run, h);
  }
}
#endif

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();
