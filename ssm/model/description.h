// What a model file says about itself: config and card, checked against each other, at the model's own rate or another.
#pragma once

#include <string>
#include <vector>

#include "ssm/model/card.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::ssm {

struct Description {
  ModelConfig config;  // sample_rate_hz comes from the card if the config states none
  Card card;
  std::vector<std::string> warnings;  // one sentence for each entry of the file that has no effect
};

// `sample_rate_hz` other than 0: the steps, and everything that is counted in frames, are rescaled to that rate. Throws
// Error that names the field.
Description describe(const Checkpoint& checkpoint, double sample_rate_hz = 0);

// The warnings to give once the network has read its tensors from `checkpoint`, which recorded the reads.
std::vector<std::string> load_warnings(const Description& description, const Checkpoint& checkpoint);

}  // namespace coil::ssm
