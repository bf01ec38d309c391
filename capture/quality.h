// The sizes of network that a capture may have, and how much each is kept from aliasing.
#pragma once

#include <string>
#include <vector>

#include "capture/trainer/shape.h"

namespace coil::capture {

struct Quality {
  const char* name;
  const char* description;
  Shape shape;             // without knobs
  double sample_rate_hz;   // of the model
  double aliasing_weight;  // as TrainingSettings has it
  double million_frames;   // to train on, unless asked otherwise; knobs take twice as many
};

const std::vector<Quality>& qualities();

// Throws Error that lists the names.
const Quality& quality_named(const std::string& name);

}  // namespace coil::capture
