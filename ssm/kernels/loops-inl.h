// Loops over runs and over the vectors of a block.
#if defined(COIL_SSM_KERNELS_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_SSM_KERNELS_LOOPS_INL_H_
#undef COIL_SSM_KERNELS_LOOPS_INL_H_
#else
#define COIL_SSM_KERNELS_LOOPS_INL_H_
#endif

#include "hwy/highway.h"
#include "ssm/kernels/kernels.h"
#include "ssm/kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::ssm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls f(run, first row) for one run after another. Everything of one run is read before the next run, so that states
// come from memory in long contiguous pieces and the next one can be prefetched.
template <class F>
HWY_INLINE void ForEachRun(Runs runs, const F& f) {
  size_t row = 0;
  for (size_t r = 0; r < runs.size(); row += runs[r++].frames) f(r, row);
}
HWY_INLINE const Run& NextRun(Runs runs, size_t run) { return runs[HWY_MIN(run + 1, runs.size() - 1)]; }

// Calls f(d, t, c) for every vector of every frame.
template <class F>
HWY_INLINE void ForEachVector(size_t width, size_t frames, const F& f) {
  WithTag(width, [&](auto d) {
    for (size_t t = 0; t < frames; ++t)
      for (size_t c = 0; c < width; c += hn::Lanes(d)) f(d, t, c);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::ssm
HWY_AFTER_NAMESPACE();

#endif
