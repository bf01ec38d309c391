// Matrix products over a block of frames: y[t] = W x[t] + b.
#if defined(COIL_SSM_KERNELS_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_LINEAR_INL_H_
#undef COIL_SSM_KERNELS_LINEAR_INL_H_
#else
#define COIL_SSM_KERNELS_LINEAR_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A register tile of kPanels vectors of rows by kFrames frames. The sum runs over k in order, whatever the tile, so that any split of the
// frames gives the same bits.
template <size_t kPanels, size_t kFrames, class D>
HWY_INLINE void LinearTile(D d, const PackedLinear& w, size_t panel, const float* x, size_t x_stride, float* y, size_t y_stride, bool accumulate) {
  using V = hn::Vec<D>;
  const size_t lanes = hn::Lanes(d);
  const float* weights = w.weights.data() + panel * w.d_in * lanes;
  V sum[kFrames][kPanels];
  for (size_t p = 0; p < kPanels; ++p) {
    const V bias = hn::Load(d, w.bias.data() + (panel + p) * lanes);
    for (size_t t = 0; t < kFrames; ++t)
      sum[t][p] = accumulate ? hn::Add(bias, hn::Load(d, y + t * y_stride + (panel + p) * lanes)) : bias;
  }
  for (size_t k = 0; k < w.d_in; ++k) {
    V column[kPanels];
    for (size_t p = 0; p < kPanels; ++p) column[p] = hn::Load(d, weights + (p * w.d_in + k) * lanes);
    for (size_t t = 0; t < kFrames; ++t) {
      const V value = hn::Set(d, x[t * x_stride + k]);
      for (size_t p = 0; p < kPanels; ++p) sum[t][p] = hn::MulAdd(column[p], value, sum[t][p]);
    }
  }
  for (size_t t = 0; t < kFrames; ++t)
    for (size_t p = 0; p < kPanels; ++p) hn::Store(sum[t][p], d, y + t * y_stride + (panel + p) * lanes);
}

template <size_t kPanels, class D>
HWY_INLINE void LinearPanels(D d, const PackedLinear& w, size_t panel, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames,
                             bool accumulate) {
  size_t t = 0;
  for (; t + 4 <= frames; t += 4) LinearTile<kPanels, 4>(d, w, panel, x + t * x_stride, x_stride, y + t * y_stride, y_stride, accumulate);
  for (; t < frames; ++t) LinearTile<kPanels, 1>(d, w, panel, x + t * x_stride, x_stride, y + t * y_stride, y_stride, accumulate);
}

// One frame has no frames to reuse weights for, but many rows hide the latency of the sums.
HWY_NOINLINE void Linear(const PackedLinear& w, const float* x, size_t x_stride, float* y, size_t y_stride, size_t frames, bool accumulate) {
  const hn::ScalableTag<float> d;
  const size_t panels = w.d_out / hn::Lanes(d);
  size_t panel = 0;
  if (frames == 1) {
    for (; panel + 8 <= panels; panel += 8) LinearTile<8, 1>(d, w, panel, x, x_stride, y, y_stride, accumulate);
  }
  constexpr size_t kMany = HWY_TARGET == HWY_AVX3 ? 4 : 2;
  for (; panel + kMany <= panels; panel += kMany) LinearPanels<kMany>(d, w, panel, x, x_stride, y, y_stride, frames, accumulate);
  if constexpr (kMany > 2)
    for (; panel + 2 <= panels; panel += 2) LinearPanels<2>(d, w, panel, x, x_stride, y, y_stride, frames, accumulate);
  for (; panel < panels; ++panel) LinearPanels<1>(d, w, panel, x, x_stride, y, y_stride, frames, accumulate);
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
