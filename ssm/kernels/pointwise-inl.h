// Kernels without memory: norm, activations, gates, FiLM, time step. Also the convolution, whose history is passed in.
#if defined(COIL_SSM_KERNELS_POINTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_POINTWISE_INL_H_
#undef COIL_SSM_KERNELS_POINTWISE_INL_H_
#else
#define COIL_SSM_KERNELS_POINTWISE_INL_H_
#endif

#include <cmath>

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"
#include "ssm/kernels/loops-inl.h"
#include "ssm/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 1 / sqrt(mean(x^2) + eps) of one frame
template <class D>
HWY_INLINE float RmsScaleOf(D d, float eps, size_t count, size_t width, const float* x) {
  auto squares = hn::Zero(d);
  for (size_t c = 0; c < width; c += hn::Lanes(d)) {
    const auto v = hn::LoadU(d, x + c);
    squares = hn::MulAdd(v, v, squares);
  }
  return 1.0f / std::sqrt(hn::GetLane(hn::SumOfLanes(d, squares)) * (1.0f / float(count)) + eps);
}

HWY_NOINLINE void RmsScale(float eps, size_t count, size_t width, const float* x, size_t x_stride, float* scale,
                           size_t frames) {
  WithTag(width, [&](auto d) {
    for (size_t t = 0; t < frames; ++t) scale[t] = RmsScaleOf(d, eps, count, width, x + t * x_stride);
  });
}

HWY_NOINLINE void RmsNorm(const float* weight, float eps, size_t count, size_t width, const float* x, size_t x_stride,
                          float* y, size_t y_stride, size_t frames) {
  WithTag(width, [&](auto d) {
    for (size_t t = 0; t < frames; ++t) {
      const float* in = x + t * x_stride;
      float* out = y + t * y_stride;
      const auto scale = hn::Set(d, RmsScaleOf(d, eps, count, width, in));
      for (size_t c = 0; c < width; c += hn::Lanes(d))
        hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, in + c), scale), hn::LoadU(d, weight + c)), d, out + c);
    }
  });
}

HWY_NOINLINE void TanhBlock(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    hn::StoreU(Tanh(d, hn::LoadU(d, x + t * x_stride + c)), d, y + t * y_stride + c);
  });
}

// Tanh ends with a division, which no compiler fuses with the subtraction. So equal inputs give exactly 0.
HWY_NOINLINE void TanhRest(const float* rest, size_t rest_stride, const float* x, size_t x_stride, float* y,
                           size_t y_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    hn::StoreU(hn::Sub(Tanh(d, hn::LoadU(d, x + t * x_stride + c)), hn::LoadU(d, rest + t * rest_stride + c)), d,
               y + t * y_stride + c);
  });
}

// 0.5 x (1 + erf(x / sqrt(2))). Source: Hendrycks & Gimpel 2016, eq. 1.
HWY_NOINLINE void GeluBlock(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    const auto v = hn::LoadU(d, x + t * x_stride + c);
    const auto half = hn::Mul(v, hn::Set(d, 0.5f));
    hn::StoreU(hn::MulAdd(half, Erf(d, hn::Mul(v, hn::Set(d, 0.70710678f))), half), d, y + t * y_stride + c);
  });
}

HWY_NOINLINE void SiluBlock(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    hn::StoreU(Silu(d, hn::LoadU(d, x + t * x_stride + c)), d, y + t * y_stride + c);
  });
}

HWY_NOINLINE void GluBlock(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    const float* in = x + t * x_stride + c;
    hn::StoreU(hn::Mul(hn::LoadU(d, in), Sigmoid(d, hn::LoadU(d, in + width))), d, y + t * y_stride + c);
  });
}

HWY_NOINLINE void Gate(const float* z, size_t z_stride, float* y, size_t y_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    float* out = y + t * y_stride + c;
    hn::StoreU(hn::Mul(hn::LoadU(d, out), Silu(d, hn::LoadU(d, z + t * z_stride + c))), d, out);
  });
}

HWY_NOINLINE void AddBlock(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    float* out = y + t * y_stride + c;
    hn::StoreU(hn::Add(hn::LoadU(d, out), hn::LoadU(d, x + t * x_stride + c)), d, out);
  });
}

HWY_NOINLINE void Film(const float* scale_base, const float* scale_slope, const float* shift_base,
                       const float* shift_slope, float first, const float* x, size_t x_stride, float* y,
                       size_t y_stride, size_t width, size_t frames) {
  WithTag(width, [&](auto d) {
    const auto one = hn::Set(d, 1.0f);
    for (size_t c = 0; c < width; c += hn::Lanes(d)) {
      const auto scale0 = hn::LoadU(d, scale_base + c), shift0 = hn::LoadU(d, shift_base + c);
      if (!scale_slope) {
        const auto scale1 = hn::Add(one, scale0);
        for (size_t t = 0; t < frames; ++t)
          hn::StoreU(hn::MulAdd(scale1, hn::LoadU(d, x + t * x_stride + c), shift0), d, y + t * y_stride + c);
        continue;
      }
      const auto scale_step = hn::LoadU(d, scale_slope + c), shift_step = hn::LoadU(d, shift_slope + c);
      for (size_t t = 0; t < frames; ++t) {
        const auto i = hn::Set(d, first + float(t));
        const auto scale = hn::Add(one, hn::MulAdd(scale_step, i, scale0));
        hn::StoreU(hn::MulAdd(scale, hn::LoadU(d, x + t * x_stride + c), hn::MulAdd(shift_step, i, shift0)), d,
                   y + t * y_stride + c);
      }
    }
  });
}

HWY_NOINLINE void MovingDot(const float* base, const float* slope, float first, const float* x, size_t x_stride,
                            float* y, size_t y_stride, size_t width, size_t frames) {
  WithTag(width, [&](auto d) {
    for (size_t t = 0; t < frames; ++t) {
      const auto i = hn::Set(d, first + float(t));
      auto sum = hn::Zero(d);
      for (size_t c = 0; c < width; c += hn::Lanes(d)) {
        auto w = hn::LoadU(d, base + c);
        if (slope) w = hn::MulAdd(hn::LoadU(d, slope + c), i, w);
        sum = hn::MulAdd(w, hn::LoadU(d, x + t * x_stride + c), sum);
      }
      y[t * y_stride] += hn::GetLane(hn::SumOfLanes(d, sum));
    }
  });
}

HWY_NOINLINE void TimeStep(const float* bias, float dt_min, float dt_max, bool softplus, float* dt, size_t stride,
                           size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    float* at = dt + t * stride + c;
    const auto v = hn::Add(hn::LoadU(d, at), hn::LoadU(d, bias + c));
    hn::StoreU(softplus ? hn::Min(hn::Max(Softplus(d, v), hn::Set(d, dt_min)), hn::Set(d, dt_max)) : v, d, at);
  });
}

// x(r) is the value of rank r in all lanes.
template <class D, class V = hn::Vec<D>, class Ranks>
HWY_INLINE V ProjectedTimeStep(D d, const TimeStepKernel& w, const Ranks& x, size_t c) {
  V sum = hn::LoadU(d, w.bias + c);
  for (size_t r = 0; r < w.rank; ++r) sum = hn::MulAdd(hn::LoadU(d, w.weights + r * w.width + c), x(r), sum);
  return Softplus(d, sum);
}

HWY_NOINLINE void ProjectTimeStep(const TimeStepKernel& w, const float* x, size_t x_stride, float* dt, size_t dt_stride,
                                  size_t frames) {
  ForEachVector(w.width, frames, [&](auto d, size_t t, size_t c) HWY_ATTR {
    const auto ranks = [&](size_t r) HWY_ATTR { return hn::Set(d, x[t * x_stride + r]); };
    hn::StoreU(ProjectedTimeStep(d, w, ranks, c), d, dt + t * dt_stride + c);
  });
}

HWY_NOINLINE void Decay(const float* a, const float* dt, size_t dt_stride, float* decay, size_t decay_stride,
                        size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    hn::StoreU(Exp2MinusOne(d, hn::Mul(hn::LoadU(d, a + c), hn::LoadU(d, dt + t * dt_stride + c))), d,
               decay + t * decay_stride + c);
  });
}

// One run of one vector of channels. `next` is the history of the next run, which is prefetched. kTaps past frames move
// through registers: past[0] is dropped from the history, past[1 ..] are convolved.
template <size_t kTaps, class D>
HWY_INLINE void ConvSiluChannels(D d, const ConvKernel& conv, const Run& run, const float* next, size_t c,
                                 const float* x, size_t x_stride, float* y, size_t y_stride) {
  using V = hn::Vec<D>;
  const size_t width = conv.width;
  const V bias = hn::LoadU(d, conv.bias + c);
  V w[kTaps], past[kTaps];
  float* history = run.history + c;
  for (size_t j = 0; j < kTaps; ++j) {
    w[j] = hn::LoadU(d, conv.weights + j * width + c);
    past[j] = hn::LoadU(d, history + j * width);
    hwy::Prefetch(next + j * width + c);
  }
  const float* in = x + c;
  float* out = y + c;
  for (size_t t = 0; t < run.frames; ++t, in += x_stride, out += y_stride) {
    const V now = hn::LoadU(d, in);
    V sum = bias;
    for (size_t j = 0; j + 1 < kTaps; ++j) {
      past[j] = past[j + 1];
      sum = hn::MulAdd(w[j], past[j], sum);
    }
    past[kTaps - 1] = now;
    hn::StoreU(Silu(d, hn::MulAdd(w[kTaps - 1], now, sum)), d, out);
  }
  for (size_t j = 0; j < kTaps; ++j) hn::StoreU(past[j], d, history + j * width);
}

// The same for any number of taps.
template <class D>
HWY_INLINE void ConvSiluChannels(D d, const ConvKernel& conv, const Run& run, size_t c, const float* x, size_t x_stride,
                                 float* y, size_t y_stride) {
  const ptrdiff_t taps = ptrdiff_t(conv.taps), frames = ptrdiff_t(run.frames);
  const auto frame = [&](ptrdiff_t t) {
    return c + (t < 0 ? run.history + size_t(t + taps) * conv.width : x + size_t(t) * x_stride);
  };
  for (ptrdiff_t t = 0; t < frames; ++t) {
    auto sum = hn::LoadU(d, conv.bias + c);
    for (ptrdiff_t j = 0; j < taps; ++j)
      sum = hn::MulAdd(hn::LoadU(d, conv.weights + size_t(j) * conv.width + c), hn::LoadU(d, frame(t + j + 1 - taps)),
                       sum);
    hn::StoreU(Silu(d, sum), d, y + size_t(t) * y_stride + c);
  }
  for (ptrdiff_t j = 0; j < taps; ++j)
    hn::StoreU(hn::LoadU(d, frame(frames + j - taps)), d, run.history + size_t(j) * conv.width + c);
}

HWY_NOINLINE void ConvSilu(const ConvKernel& conv, Runs runs, const float* x, size_t x_stride, float* y,
                           size_t y_stride) {
  WithTag(conv.width, [&](auto d) HWY_ATTR {
    ForEachRun(runs, [&](size_t r, size_t row) HWY_ATTR {
      const float *next = NextRun(runs, r).history, *in = x + row * x_stride;
      float* out = y + row * y_stride;
      for (size_t c = 0; c < conv.width; c += hn::Lanes(d)) {
        if (conv.taps == 4)
          ConvSiluChannels<4>(d, conv, runs[r], next, c, in, x_stride, out, y_stride);
        else
          ConvSiluChannels(d, conv, runs[r], c, in, x_stride, out, y_stride);
      }
    });
  });
}

HWY_NOINLINE void Envelopes(const float* x, size_t x_stride, float* sum, size_t width, size_t frames) {
  ForEachVector(width, frames, [&](auto d, size_t t, size_t c) {
    const auto f = Tanh(d, hn::LoadU(d, x + t * x_stride + c));
    hn::StoreU(hn::Add(hn::LoadU(d, sum + c), f), d, sum + c);
    hn::StoreU(hn::MulAdd(f, f, hn::LoadU(d, sum + width + c)), d, sum + width + c);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
