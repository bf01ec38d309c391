// Training data: a recording of a device's input and the recording of its output.
#pragma once

#include <cstddef>
#include <vector>

namespace coil::capture {

// Aligned, at the model's sample rate, of equal length.
struct Take {
  std::vector<float> dry, wet;
  std::vector<double> knobs;  // 0 to 1
};

// A part of a take: frames begin to end - 1.
struct Span {
  size_t begin, end;
};

}  // namespace coil::capture
