// A compiled MLP over rows, used by the MLP part and by the experts.
#pragma once

#include <optional>

#include "ssm/layers/part.h"

namespace coil::ssm {

class Mlp {
 public:
  Mlp(const MlpConfig& config, const Build& build);

  size_t scratch_floats(size_t frames) const { return frames * (gate_ ? 2 : 1) * up_.d_out; }
  // With `accumulate`, out += down(..). [audio-thread]
  void run(const float* in, size_t in_stride, float* out, size_t out_stride, size_t frames, bool accumulate,
           float* scratch) const noexcept;

 private:
  const Kernels& kernels_;
  Activation activation_;
  std::optional<PackedLinear> gate_;
  PackedLinear up_, down_;
};

}  // namespace coil::ssm
