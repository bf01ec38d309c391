// The matrix and bias of a linear part, from whatever tensors the checkpoint keeps them in.
#pragma once

#include <vector>

#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::ssm {

// Value: float or double.
template <class Value>
struct LinearWeights {
  std::vector<Value> weight, bias;  // (d_out, d_in), (d_out) or empty
};

// With all factors, slices and adapters of the config. Throws Error naming file, tensor, expected and found shape.
template <class Value>
LinearWeights<Value> linear_weights(const LinearConfig& config, const Checkpoint& checkpoint);

}  // namespace coil::ssm
