// Vector lanes are output channels, four frames at a time; for a single channel, lanes are frames.
#include "capture/teachers/kernels.h"

#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "capture/teachers/kernels.cpp"
#include "hwy/foreach_target.h"

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace coil::capture::teacher_kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, kPadding>;
using Vec = hn::Vec<Tag>;

constexpr size_t kFrames = 4;

// `count` frames of one vector of channels.
template <size_t kCount>
HWY_INLINE void Columns(const ConvolutionShape& shape, const float* weights, const float* bias, const float* in,
                        float* out, size_t out_stride) {
  const Tag d;
  const size_t stride = padded(shape.outputs);
  Vec sum0 = hn::LoadU(d, bias), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  for (size_t k = 0; k < shape.taps; ++k) {
    const float* x = in + k * shape.dilation * shape.inputs;
    for (size_t i = 0; i < shape.inputs; ++i, weights += stride) {
      const Vec w = hn::LoadU(d, weights);
      sum0 = hn::MulAdd(hn::Set(d, x[i]), w, sum0);
      if constexpr (kCount == kFrames) {
        sum1 = hn::MulAdd(hn::Set(d, x[shape.inputs + i]), w, sum1);
        sum2 = hn::MulAdd(hn::Set(d, x[2 * shape.inputs + i]), w, sum2);
        sum3 = hn::MulAdd(hn::Set(d, x[3 * shape.inputs + i]), w, sum3);
      }
    }
  }
  hn::StoreU(sum0, d, out);
  if constexpr (kCount == kFrames) {
    hn::StoreU(sum1, d, out + out_stride);
    hn::StoreU(sum2, d, out + 2 * out_stride);
    hn::StoreU(sum3, d, out + 3 * out_stride);
  }
}

template <size_t kCount>
HWY_INLINE void Rows(const ConvolutionShape& shape, const float* weights, const float* bias, const float* in,
                     float* out) {
  float sums[kFrames * kPadding];
  for (size_t block = 0; block < shape.outputs; block += kPadding) {
    for (size_t o = block; o < block + kPadding && o < shape.outputs; o += hn::Lanes(Tag()))
      Columns<kCount>(shape, weights + o, bias + o, in, sums + (o - block), kPadding);
    const size_t filled = HWY_MIN(kPadding, shape.outputs - block);
    for (size_t t = 0; t < kCount; ++t)
      std::memcpy(out + t * shape.outputs + block, sums + t * kPadding, filled * sizeof(float));
  }
}

void Convolve(const ConvolutionShape& shape, const float* weights, const float* bias, const float* in, size_t frames,
              float* out) {
  size_t t = 0;
  for (; t + kFrames <= frames; t += kFrames)
    Rows<kFrames>(shape, weights, bias, in + t * shape.inputs, out + t * shape.outputs);
  for (; t < frames; ++t) Rows<1>(shape, weights, bias, in + t * shape.inputs, out + t * shape.outputs);
}

void Filter(size_t taps, size_t dilation, const float* weights, float bias, const float* in, size_t frames,
            float* out) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t t = 0;
  for (; t + lanes <= frames; t += lanes) {
    Vec sum = hn::Set(d, bias);
    for (size_t k = 0; k < taps; ++k)
      sum = hn::MulAdd(hn::Set(d, weights[k]), hn::LoadU(d, in + t + k * dilation), sum);
    hn::StoreU(sum, d, out + t);
  }
  for (; t < frames; ++t) {
    float sum = bias;
    for (size_t k = 0; k < taps; ++k) sum += weights[k] * in[t + k * dilation];
    out[t] = sum;
  }
}

template <class Function>
HWY_INLINE void ForAll(float* values, size_t count, Function function) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(function(hn::LoadU(d, values + i)), d, values + i);
  if (i == count) return;
  float rest[kPadding] = {};
  std::memcpy(rest, values + i, (count - i) * sizeof(float));
  hn::StoreU(function(hn::LoadU(d, rest)), d, rest);
  std::memcpy(values + i, rest, (count - i) * sizeof(float));
}

void TanhAll(float* values, size_t count) {
  ForAll(values, count, [](Vec x) { return hn::Tanh(Tag(), x); });
}

void SigmoidAll(float* values, size_t count) {
  ForAll(values, count, [](Vec x) {
    const Vec half = hn::Set(Tag(), 0.5f);
    return hn::MulAdd(half, hn::Tanh(Tag(), hn::Mul(half, x)), half);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::capture::teacher_kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace coil::capture::teacher_kernels {
namespace {
HWY_EXPORT(Convolve);
HWY_EXPORT(Filter);
HWY_EXPORT(TanhAll);
HWY_EXPORT(SigmoidAll);
}  // namespace

void convolve(const ConvolutionShape& shape, const float* weights, const float* bias, const float* in, size_t frames,
              float* out) {
  HWY_DYNAMIC_DISPATCH(Convolve)(shape, weights, bias, in, frames, out);
}
void filter(size_t taps, size_t dilation, const float* weights, float bias, const float* in, size_t frames,
            float* out) {
  HWY_DYNAMIC_DISPATCH(Filter)(taps, dilation, weights, bias, in, frames, out);
}
void tanh_all(float* values, size_t count) { HWY_DYNAMIC_DISPATCH(TanhAll)(values, count); }
void sigmoid_all(float* values, size_t count) { HWY_DYNAMIC_DISPATCH(SigmoidAll)(values, count); }

}  // namespace coil::capture::teacher_kernels
#endif
