// What a model file says of itself: config and card, in agreement, at the rate that the model was made for or at another.
#pragma once

#include "ssm/card.h"
#include "ssm/checkpoint.h"
#include "ssm/config.h"

namespace coil::ssm {

struct Description {
  ModelConfig config;  // sample_rate_hz is the card's if the config states none
  Card card;
};

// `sample_rate_hz` other than 0: for signals of that rate, the steps and all that is counted in frames rescaled to it. Throws Error naming
// the field.
Description describe(const Checkpoint& checkpoint, double sample_rate_hz = 0);

}  // namespace coil::ssm
