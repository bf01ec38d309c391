// The sizes of network for a capture, and how strongly each is trained against aliasing.
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
  double aliasing_weight;  // see TrainingSettings
  double million_frames;   // default length of the training; with knobs, twice as many
};

const std::vector<Quality>& qualities();

// Throws Error that lists the valid names.
const Quality& quality_named(const std::string& name);

}  // namespace coil::capture
