// The matrix and bias of a linear part, read from the tensors of a checkpoint.
#pragma once

#include <vector>

#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::ssm {

// Value is float or double.
template <class Value>
struct LinearWeights {
  std::vector<Value> weight, bias;  // (d_out, d_in), (d_out) or empty
};

// Applies all factors, slices and adapters of the config. Throws Error that names file, tensor, expected and found
// shape.
template <class Value>
LinearWeights<Value> linear_weights(const LinearConfig& config, const Checkpoint& checkpoint);

}  // namespace coil::ssm
