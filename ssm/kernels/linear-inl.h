// Matrix products over a block of frames: y[t] = s[t] W x[t] + b.
#if defined(COIL_SSM_KERNELS_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_LINEAR_INL_H_
#undef COIL_SSM_KERNELS_LINEAR_INL_H_
#else
#define COIL_SSM_KERNELS_LINEAR_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"
#include "ssm/kernels/math-inl.h"
#include "ssm/machine/row_threads.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr size_t kGroup = kManyRegisters ? 4 : 2;
inline constexpr size_t kSums = kManyRegisters ? 16 : 8;  // about as many as fit into the registers
inline constexpr size_t kSharedWeights = 1 << 16;         // smaller products are not worth several threads
inline constexpr size_t kItemsPerThread = 4;              // so that one that is interrupted does less
inline constexpr size_t kLongColumns = 128;  // from here on, a tile's weights do not fit into the nearest cache

// Loads a vector of weights as float32.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V LoadWeights(D d, const float* HWY_RESTRICT from) {
  return hn::LoadU(d, from);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V LoadWeights(D d, const uint16_t* HWY_RESTRICT from) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(hn::Rebind<uint16_t, D>(), from))));
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V LoadWeights(D d, const int8_t* HWY_RESTRICT from) {
  const hn::RebindToSigned<D> di;
  return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(hn::Rebind<int8_t, D>(), from)));
}

// Values that are the same for all tiles of one call, which computes the panels from `first` to before `end`.
template <class Weight>
struct LinearCall {
  const PackedLinear& w;
  const Weight* HWY_RESTRICT weights;
  const float* HWY_RESTRICT frame_scale;
  const float* HWY_RESTRICT x;
  size_t x_stride;
  float* HWY_RESTRICT y;
  size_t y_stride;
  bool accumulate;
  size_t first = 0, end = w.d_out / w.lanes;
};

// The initial value of a sum over the columns: without row factors the bias and the previous y, else 0.
template <class D, class V = hn::Vec<D>, class Weight>
HWY_INLINE V StartRows(D d, const LinearCall<Weight>& call, size_t t, size_t row) {
  if (sizeof(Weight) == 1 || call.frame_scale) return hn::Zero(d);
  const V bias = hn::LoadU(d, call.w.bias.data() + row);
  return call.accumulate ? hn::Add(bias, hn::LoadU(d, call.y + t * call.y_stride + row)) : bias;
}

// The final value of a sum: with row factors, the bias and the previous y are added only now.
template <class D, class V, class Weight>
HWY_INLINE void StoreRows(D d, V total, const LinearCall<Weight>& call, size_t t, size_t row) {
  float* to = call.y + t * call.y_stride + row;
  if (sizeof(Weight) == 1 || call.frame_scale) {
    if constexpr (sizeof(Weight) == 1) total = hn::Mul(total, hn::LoadU(d, call.w.row_scale.data() + row));
    const V bias = hn::LoadU(d, call.w.bias.data() + row);
    total = call.frame_scale ? hn::MulAdd(total, hn::Set(d, call.frame_scale[t]), bias) : hn::Add(total, bias);
    if (call.accumulate) total = hn::Add(total, hn::LoadU(d, to));
  }
  hn::StoreU(total, d, to);
}

// A register tile: kGroups groups of kPanels vectors of rows, by kFrames frames, starting at frame t. A sum over k is
// split into kChains interleaved chains. The matrix determines their number, so that all tiles give the same bits.
// kStride: x_stride if it is known at compile time, so that a frame's address needs no register; else 0.
template <size_t kGroups, size_t kPanels, size_t kFrames, size_t kChains, size_t kStride, class D, class Weight>
HWY_INLINE void LinearTile(D d, const LinearCall<Weight>& call, size_t panel, size_t t) {
  using V = hn::Vec<D>;
  const size_t lanes = hn::Lanes(d), columns = call.w.d_in, x_stride = kStride != 0 ? kStride : call.x_stride;
  const Weight* HWY_RESTRICT weights = call.weights + panel * columns * lanes;
  const float* HWY_RESTRICT x = call.x + t * x_stride;
  constexpr size_t kRows = kGroups * kPanels;
  V sum[kChains][kFrames][kRows];
  for (size_t i = 0; i < kChains; ++i)
    for (size_t f = 0; f < kFrames; ++f)
      for (size_t p = 0; p < kRows; ++p)
        sum[i][f][p] = i == 0 ? StartRows(d, call, t + f, (panel + p) * lanes) : hn::Zero(d);
  const auto add_column = [&](size_t k, size_t chain) HWY_ATTR {
    V column[kRows];
    for (size_t p = 0; p < kRows; ++p)
      column[p] = LoadWeights(d, weights + ((p / kPanels * columns + k) * kPanels + p % kPanels) * lanes);
    for (size_t f = 0; f < kFrames; ++f) {
      const V value = hn::Set(d, x[f * x_stride + k]);
      for (size_t p = 0; p < kRows; ++p) sum[chain][f][p] = hn::MulAdd(column[p], value, sum[chain][f][p]);
    }
  };
  size_t k = 0;
  for (; k + kChains <= columns; k += kChains)
    for (size_t i = 0; i < kChains; ++i) add_column(k + i, i);
  for (size_t i = 0; i + 1 < kChains && k < columns; ++i, ++k) add_column(k, i);
  for (size_t f = 0; f < kFrames; ++f)
    for (size_t p = 0; p < kRows; ++p) {
      V total = sum[0][f][p];
      if constexpr (kChains == 2) total = hn::Add(total, sum[1][f][p]);
      if constexpr (kChains == 4) total = hn::Add(hn::Add(total, sum[1][f][p]), hn::Add(sum[2][f][p], sum[3][f][p]));
      StoreRows(d, total, call, t + f, (panel + p) * lanes);
    }
}

template <size_t kPanels, size_t kChains, size_t kStride, class D, class Weight>
HWY_INLINE void LinearPanels(D d, const LinearCall<Weight>& call, size_t& panel, size_t frames) {
  constexpr size_t kFrames = HWY_MIN(HWY_MAX(kSums / (kPanels * kChains), 1), 8);
  constexpr size_t kTall = kFrames == 4 && kStride == 0 && kManyRegisters ? 6 : 0;
  const bool tall = kTall != 0 && call.w.d_in >= kLongColumns;
  for (; panel + kPanels <= call.end; panel += kPanels) {
    size_t t = 0;
    if constexpr (kTall != 0)
      for (; tall && t + kTall <= frames && t + 8 != frames; t += kTall)  // 8 are two tiles of 4
        LinearTile<1, kPanels, kTall, kChains, kStride>(d, call, panel, t);
    for (; t + kFrames <= frames; t += kFrames) LinearTile<1, kPanels, kFrames, kChains, kStride>(d, call, panel, t);
    if constexpr (kFrames > 3)
      for (; t + 2 <= frames; t += 2) LinearTile<1, kPanels, 2, kChains, kStride>(d, call, panel, t);
    for (; t < frames; ++t) LinearTile<1, kPanels, 1, kChains, kStride>(d, call, panel, t);
  }
}

template <size_t kChains, size_t kStride, class Weight>
HWY_NOINLINE void LinearBlock(const LinearCall<Weight>& call, size_t frames) {
  WithTag(call.w.lanes, [&](auto d) HWY_ATTR {
    size_t panel = call.first;
    if constexpr (kGroup == 4) LinearPanels<4, kChains, kStride>(d, call, panel, frames);
    LinearPanels<2, kChains, kStride>(d, call, panel, frames);
    LinearPanels<1, kChains, kStride>(d, call, panel, frames);
  });
}

// A single frame cannot reuse weights, but many rows hide the latency of the sums.
template <size_t kGroups, size_t kPanels, size_t kChains, class D, class Weight>
HWY_INLINE void LinearFramePanels(D d, const LinearCall<Weight>& call, size_t& panel) {
  for (; panel + kGroups * kPanels <= call.end; panel += kGroups * kPanels)
    LinearTile<kGroups, kPanels, 1, kChains, 0>(d, call, panel, 0);
}

template <size_t kChains, class Weight>
HWY_NOINLINE void LinearFrame(const LinearCall<Weight>& call) {
  WithTag(call.w.lanes, [&](auto d) HWY_ATTR {
    size_t panel = call.first;
    if constexpr (kChains == 1) LinearFramePanels<8 / kGroup, kGroup, kChains>(d, call, panel);
    if constexpr (kGroup == 4) LinearFramePanels<1, 4, kChains>(d, call, panel);
    LinearFramePanels<1, 2, kChains>(d, call, panel);
    LinearFramePanels<1, 1, kChains>(d, call, panel);
  });
}

// Rows stored for dot products: products over vectors of columns, then a sum over the lanes. The padding of x is zero.
template <class Weight>
HWY_NOINLINE void LinearDots(const LinearCall<Weight>& call, size_t frames) {
  WithTag(call.w.lanes, [&](auto d) HWY_ATTR {
    const size_t width = padded(call.w.d_in), rows = call.w.dots;
    for (size_t t = 0; t < frames; ++t) {
      const float* HWY_RESTRICT x = call.x + t * call.x_stride;
      float* y = call.y + t * call.y_stride;
      const float scale = call.frame_scale ? call.frame_scale[t] : 1.0f;
      for (size_t r = 0; r < call.w.d_out; ++r) {
        float total = 0;
        if (r < rows) {
          auto sum = hn::Zero(d);
          for (size_t k = 0; k < width; k += hn::Lanes(d))
            sum = hn::MulAdd(LoadWeights(d, call.weights + r * width + k), hn::LoadU(d, x + k), sum);
          total = hn::GetLane(hn::SumOfLanes(d, sum)) * scale;
          if constexpr (sizeof(Weight) == 1) total *= call.w.row_scale[r];
          total += call.w.bias[r];
        }
        y[r] = call.accumulate ? y[r] + total : total;
      }
    }
  });
}

template <size_t kChains, class Weight>
HWY_INLINE void LinearChains(const LinearCall<Weight>& call, size_t frames) {
  if (frames == 1) return LinearFrame<kChains>(call);
  if constexpr (sizeof(Weight) == 4) {
    if (call.x_stride == 8) return LinearBlock<kChains, 8>(call, frames);
    if (call.x_stride == 16) return LinearBlock<kChains, 16>(call, frames);
    if (call.x_stride == 32) return LinearBlock<kChains, 32>(call, frames);
  }
  LinearBlock<kChains, 0>(call, frames);
}

template <class Weight>
HWY_INLINE void LinearPart(const LinearCall<Weight>& call, size_t frames) {
  if constexpr (sizeof(Weight) == 4) {
    if (call.w.chains == 4) return LinearChains<4>(call, frames);
    if (call.w.chains == 2) return LinearChains<2>(call, frames);
  }
  LinearChains<1>(call, frames);
}

// Shares the panels of a large product, in whole groups, so that each row is computed as by one thread.
template <class Weight>
HWY_NOINLINE void LinearShared(RowThreads& threads, const LinearCall<Weight>& call, size_t frames) {
  const size_t panels = call.end, groups = (panels + kGroup - 1) / kGroup;
  const size_t items = HWY_MIN(groups, kItemsPerThread * threads.threads());
  threads.for_each(items, [&](size_t item) {
    LinearCall<Weight> part = call;
    part.first = item * groups / items * kGroup;
    part.end = HWY_MIN((item + 1) * groups / items * kGroup, panels);
    LinearPart(part, frames);
  });
}

template <class Weight>
HWY_INLINE void LinearOf(const LinearCall<Weight>& call, size_t frames) {
  if (call.w.dots) return LinearDots(call, frames);
  if (call.w.d_in * call.w.d_out >= kSharedWeights)
    if (RowThreads* threads = RowThreads::current()) return LinearShared(*threads, call, frames);
  LinearPart(call, frames);
}

void Linear(const PackedLinear& w, const float* frame_scale, const float* x, size_t x_stride, float* y, size_t y_stride,
            size_t frames, bool accumulate) {
  switch (w.format) {
    case WeightFormat::f32:
      return LinearOf<float>({w, w.f32.data(), frame_scale, x, x_stride, y, y_stride, accumulate}, frames);
    case WeightFormat::bf16:
      return LinearOf<uint16_t>({w, w.bf16.data(), frame_scale, x, x_stride, y, y_stride, accumulate}, frames);
    case WeightFormat::int8:
      return LinearOf<int8_t>({w, w.int8.data(), frame_scale, x, x_stride, y, y_stride, accumulate}, frames);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
