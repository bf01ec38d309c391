// Matrix products over a block of frames: y[t] = W x[t] + b.
#if defined(COIL_SSM_KERNELS_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_LINEAR_INL_H_
#undef COIL_SSM_KERNELS_LINEAR_INL_H_
#else
#define COIL_SSM_KERNELS_LINEAR_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"
#include "ssm/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A register tile of kPanels vectors of rows by kFrames frames. A sum runs over k in kChains interleaved chains, which the matrix fixes,
// so that every tile gives the same bits. kStride: x_stride where it is known, so that a frame's address needs no register; 0: not known.
template <size_t kPanels, size_t kFrames, size_t kChains, size_t kStride, class D>
HWY_INLINE void LinearTile(D d, const PackedLinear& w, size_t panel, const float* HWY_RESTRICT x, size_t x_stride, float* HWY_RESTRICT y,
                           size_t y_stride, bool accumulate) {
  using V = hn::Vec<D>;
  if constexpr (kStride != 0) x_stride = kStride;
  const size_t lanes = hn::Lanes(d), columns = w.d_in;
  const float* HWY_RESTRICT weights = w.weights.data() + panel * columns * lanes;
  V sum[kChains][kFrames][kPanels];
  for (size_t p = 0; p < kPanels; ++p) {
    const V bias = hn::LoadU(d, w.bias.data() + (panel + p) * lanes);
    for (size_t t = 0; t < kFrames; ++t) {
      sum[0][t][p] = accumulate ? hn::Add(bias, hn::LoadU(d, y + t * y_stride + (panel + p) * lanes)) : bias;
      for (size_t i = 1; i < kChains; ++i) sum[i][t][p] = hn::Zero(d);
    }
  }
  const auto add_column = [&](size_t k, size_t chain) HWY_ATTR {
    V column[kPanels];
    for (size_t p = 0; p < kPanels; ++p) column[p] = hn::LoadU(d, weights + (p * columns + k) * lanes);
    for (size_t t = 0; t < kFrames; ++t) {
      const V value = hn::Set(d, x[t * x_stride + k]);
      for (size_t p = 0; p < kPanels; ++p) sum[chain][t][p] = hn::MulAdd(column[p], value, sum[chain][t][p]);
    }
  };
  size_t k = 0;
  for (; k + kChains <= columns; k += kChains)
    for (size_t i = 0; i < kChains; ++i) add_column(k + i, i);
  for (size_t i = 0; i + 1 < kChains && k < columns; ++i, ++k) add_column(k, i);
  for (size_t t = 0; t < kFrames; ++t)
    for (size_t p = 0; p < kPanels; ++p) {
      V total = sum[0][t][p];
      if constexpr (kChains == 2) total = hn::Add(total, sum[1][t][p]);
      hn::StoreU(total, d, y + t * y_stride + (panel + p) * lanes);
    }
}

template <size_t kPanels, size_t kChains, size_t kStride, class D>
HWY_INLINE void LinearPanels(D d, const PackedLinear& w, size_t& panel, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames,
                             bool accumulate) {
  // about as many sums as there are registers for them
  constexpr size_t kSums = HWY_TARGET == HWY_AVX3 ? 16 : 8, kFrames = HWY_MIN(HWY_MAX(kSums / (kPanels * kChains), 1), 8);
  for (const size_t panels = w.d_out / w.lanes; panel + kPanels <= panels; panel += kPanels) {
    size_t t = 0;
    for (; t + kFrames <= frames; t += kFrames)
      LinearTile<kPanels, kFrames, kChains, kStride>(d, w, panel, x + t * x_stride, x_stride, y + t * y_stride, y_stride, accumulate);
    for (; t < frames; ++t)
      LinearTile<kPanels, 1, kChains, kStride>(d, w, panel, x + t * x_stride, x_stride, y + t * y_stride, y_stride, accumulate);
  }
}

template <size_t kPanels, size_t kChains, class D>
HWY_INLINE void LinearFramePanels(D d, const PackedLinear& w, size_t& panel, const float* x, float* y, bool accumulate) {
  for (const size_t panels = w.d_out / w.lanes; panel + kPanels <= panels; panel += kPanels)
    LinearTile<kPanels, 1, kChains, 0>(d, w, panel, x, 0, y, 0, accumulate);
}

// One frame has no frames to reuse weights for, but many rows hide the latency of the sums.
template <size_t kChains>
HWY_NOINLINE void LinearFrame(const PackedLinear& w, const float* x, float* y, bool accumulate) {
  WithTag(w.lanes, [&](auto d) HWY_ATTR {
    size_t panel = 0;
    if constexpr (kChains == 1) LinearFramePanels<8, kChains>(d, w, panel, x, y, accumulate);
    if constexpr (kChains <= 2) LinearFramePanels<4, kChains>(d, w, panel, x, y, accumulate);
    LinearFramePanels<2, kChains>(d, w, panel, x, y, accumulate);
    LinearFramePanels<1, kChains>(d, w, panel, x, y, accumulate);
  });
}

template <size_t kChains, size_t kStride>
HWY_NOINLINE void LinearBlock(const PackedLinear& w, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames, bool accumulate) {
  WithTag(w.lanes, [&](auto d) HWY_ATTR {
    size_t panel = 0;
    if constexpr (HWY_TARGET == HWY_AVX3) LinearPanels<4, kChains, kStride>(d, w, panel, x, x_stride, y, y_stride, frames, accumulate);
    LinearPanels<2, kChains, kStride>(d, w, panel, x, x_stride, y, y_stride, frames, accumulate);
    LinearPanels<1, kChains, kStride>(d, w, panel, x, x_stride, y, y_stride, frames, accumulate);
  });
}

template <size_t kChains>
HWY_INLINE void LinearChains(const PackedLinear& w, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames, bool accumulate) {
  if (frames == 1) return LinearFrame<kChains>(w, x, y, accumulate);
  switch (x_stride) {
    case 8: return LinearBlock<kChains, 8>(w, x, x_stride, y, y_stride, frames, accumulate);
    case 16: return LinearBlock<kChains, 16>(w, x, x_stride, y, y_stride, frames, accumulate);
    case 32: return LinearBlock<kChains, 32>(w, x, x_stride, y, y_stride, frames, accumulate);
    default: return LinearBlock<kChains, 0>(w, x, x_stride, y, y_stride, frames, accumulate);
  }
}

// A single frame through a matrix of few rows would wait for its sums: their chains are split.
void Linear(const PackedLinear& w, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames, bool accumulate) {
  if (w.d_out < 4 * w.lanes) return LinearChains<2>(w, x, x_stride, y, y_stride, frames, accumulate);
  return LinearChains<1>(w, x, x_stride, y, y_stride, frames, accumulate);
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
