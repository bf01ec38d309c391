// Compiles the trainer's kernels once for every SIMD target and provides the tables.
#include "capture/trainer/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "capture/trainer/kernels.cpp"
#include "hwy/foreach_target.h"

#include "capture/trainer/kernel_table-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace coil::capture {
namespace HWY_NAMESPACE {

TrainerKernels Table() {
  return {hwy::TargetName(HWY_TARGET), {KernelsOf<float, 8, 4>(), KernelsOf<float, 8, 3>(), KernelsOf<float, 8, 1>()}};
}

}  // namespace HWY_NAMESPACE
}  // namespace coil::capture
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <string>

#include "base/error.h"

namespace coil::capture {
namespace {
HWY_EXPORT(Table);
}

std::vector<TrainerKernels> available_trainer_kernels() {
  std::vector<TrainerKernels> tables;
  const int64_t found = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & HWY_TARGETS;
  for (int64_t rest = found; rest != 0; rest &= rest - 1) {  // lower bits are better targets
    hwy::ChosenTarget one;
    one.Update(rest & -rest);
    tables.push_back(HWY_DISPATCH_TABLE(Table)[one.GetIndex()]());
  }
  return tables;
}

const Kernels<float>& TrainerKernels::of(const Shape& shape) const {
  for (const Kernels<float>& kernels : shapes)
    if (kernels.d_model == shape.d_model && kernels.pairs == shape.pairs) return kernels;
  throw Error("the trainer has no kernels for d_model " + std::to_string(shape.d_model) + " with " +
              std::to_string(shape.pairs) + " pairs of modes");
}

}  // namespace coil::capture
#endif
