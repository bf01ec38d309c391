// What a network learns from: a recording of what went into a device beside what came out.
#pragma once

#include <cstddef>
#include <vector>

namespace coil::capture {

// Aligned, at the model's sample rate, equally long.
struct Take {
  std::vector<float> dry, wet;
  std::vector<double> knobs;  // 0 to 1
};

// A part of a take: frames begin to end - 1.
struct Span {
  size_t begin, end;
};

}  // namespace coil::capture
