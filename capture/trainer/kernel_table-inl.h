// The table of functions for one SIMD target and shape.
#if defined(COIL_CAPTURE_TRAINER_KERNEL_TABLE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef COIL_CAPTURE_TRAINER_KERNEL_TABLE_INL_H_
#undef COIL_CAPTURE_TRAINER_KERNEL_TABLE_INL_H_
#else
#define COIL_CAPTURE_TRAINER_KERNEL_TABLE_INL_H_
#endif

#include "capture/trainer/modulated-inl.h"
#include "capture/trainer/network-inl.h"
#include "capture/trainer/slow-inl.h"

HWY_BEFORE_NAMESPACE();
namespace coil::capture {
namespace HWY_NAMESPACE {

template <class T, size_t d, size_t pairs>
Kernels<T> KernelsOf() {
  return {.lanes = kLanesOf<T>,
          .d_model = d,
          .pairs = pairs,
          .rest = Rest<T>,
          .forward = Forward<T, d, pairs>,
          .backward = Backward<T, d, pairs>,
          .add_initial_state = AddInitialState<T, d, pairs>,
          .energy = Energy<T>,
          .loss = Loss<T>,
          .filter = FilterOutput<T>,
          .filter_back = FilterOutputBack<T>,
          .forward_moving = ForwardMoving<T, d, pairs>,
          .backward_moving = BackwardMoving<T, d, pairs>,
          .slow_forward = SlowForward<T>,
          .slow_backward = SlowBackward<T>};
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::capture
HWY_AFTER_NAMESPACE();

#endif
