// What one step of a model costs, counted from its config.
#pragma once

#include <cstdint>

#include "ssm/config.h"

namespace coil::ssm {

struct Cost {
  double macs_per_step = 0;  // multiply-adds while no knob moves; the slow path's share is spread over its hop
  double exps_per_step = 0;  // exp, tanh, sigmoid, softplus and erf: one each
  int64_t parameters = 0;
};

Cost cost_of(const ModelConfig& config);

}  // namespace coil::ssm
