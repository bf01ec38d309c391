// What a model file says of itself: config and card, in agreement, at the rate that the model was made for or at
// another.
#pragma once

#include <string>
#include <vector>

#include "ssm/model/card.h"
#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::ssm {

struct Description {
  ModelConfig config;  // sample_rate_hz is the card's if the config states none
  Card card;
  std::vector<std::string> warnings;  // one sentence each: what the file says that has no effect
};

// `sample_rate_hz` other than 0: for signals of that rate, the steps and all that is counted in frames rescaled to it.
// Throws Error naming the field.
Description describe(const Checkpoint& checkpoint, double sample_rate_hz = 0);

// What there is to say once the network has taken its tensors from `checkpoint`, which counted them.
std::vector<std::string> load_warnings(const Description& description, const Checkpoint& checkpoint);

}  // namespace coil::ssm
