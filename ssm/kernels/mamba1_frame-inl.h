// One frame of a whole Mamba-1 mixer (Gu & Dao 2023, eq. 2 to 4): the stages of ssm/layers/mamba1.cpp, without
// intermediate buffers.
#if defined(COIL_SSM_KERNELS_MAMBA1_FRAME_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_MAMBA1_FRAME_INL_H_
#undef COIL_SSM_KERNELS_MAMBA1_FRAME_INL_H_
#else
#define COIL_SSM_KERNELS_MAMBA1_FRAME_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"
#include "ssm/kernels/linear-inl.h"
#include "ssm/kernels/pointwise-inl.h"
#include "ssm/kernels/scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The order follows the critical path; independent work comes after each of its steps.
template <size_t kRank, class D>
HWY_INLINE void Mamba1FrameRank(D d, const Mamba1Frame& m, const Run& run, const float* in, float* scratch, float* out,
                                bool accumulate) {
  using V = hn::Vec<D>;
  const size_t width = m.conv.width, lanes = hn::Lanes(d);
  float *xz = scratch, *x = xz + 2 * width, *dt = x + width, *y = dt + width, *bc = y + width;

  float scale = 1;
  if (m.norm_eps)
    WithTag(m.model_width,
            [&](auto dm) HWY_ATTR { scale = RmsScaleOf(dm, *m.norm_eps, m.d_model, m.model_width, in); });
  LinearOf<float>({*m.in_proj, m.in_proj->f32.data(), m.norm_eps ? &scale : nullptr, in, 0, xz, 0, false}, 1);

  V dots[kRank];
  for (V& dot : dots) dot = hn::Zero(d);
  for (size_t c = 0; c < width; c += lanes) {
    ConvSiluChannels<4>(d, m.conv, run, run.history, c, xz, 0, x, 0);
    const V value = hn::LoadU(d, x + c);
    for (size_t r = 0; r < kRank; ++r)
      dots[r] = hn::MulAdd(hn::LoadU(d, m.x_to_rank->f32.data() + r * width + c), value, dots[r]);
  }
  for (size_t r = 0; r < kRank; ++r) dots[r] = hn::Add(hn::SumOfLanes(d, dots[r]), hn::Set(d, m.x_to_rank->bias[r]));
  const auto ranks = [&](size_t r) HWY_ATTR { return dots[r]; };
  for (size_t c = 0; c < width; c += lanes) hn::StoreU(ProjectedTimeStep(d, m.time_step, ranks, c), d, dt + c);

  LinearOf<float>({*m.x_to_bc, m.x_to_bc->f32.data(), nullptr, x, 0, bc, 0, false}, 1);
  for (size_t c = 0; c < width; c += lanes) hn::StoreU(Silu(d, hn::LoadU(d, xz + width + c)), d, xz + width + c);

  const ScanKernel scan{width, m.d_state, m.a, m.D, dt, x, 0, bc, bc + m.bc_width, 0, nullptr, nullptr, y, 0};
  SelectiveBlock<true, false, false>(scan, {&run, 1});
  for (size_t c = 0; c < width; c += lanes)
    hn::StoreU(hn::Mul(hn::LoadU(d, y + c), hn::LoadU(d, xz + width + c)), d, y + c);
  LinearOf<float>({*m.out_proj, m.out_proj->f32.data(), nullptr, y, 0, out, 0, accumulate}, 1);
}

void Mamba1FrameOf(const Mamba1Frame& m, const Run& run, const float* in, float* scratch, float* out, bool accumulate) {
  WithTag(m.conv.width, [&](auto d) HWY_ATTR {
    switch (m.x_to_rank->dots) {
      case 1:
        return Mamba1FrameRank<1>(d, m, run, in, scratch, out, accumulate);
      case 2:
        return Mamba1FrameRank<2>(d, m, run, in, scratch, out, accumulate);
      case 3:
        return Mamba1FrameRank<3>(d, m, run, in, scratch, out, accumulate);
      default:
        return Mamba1FrameRank<4>(d, m, run, in, scratch, out, accumulate);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
