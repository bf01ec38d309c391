// The initial parameters of a network.
#pragma once

#include <vector>

#include "capture/trainer/random.h"
#include "capture/trainer/shape.h"

namespace coil::capture {

// For signals with an rms near 1. The channels' time constants are evenly spaced on a log scale, from 2 frames to about
// 0.25 s at 48 kHz.
std::vector<float> initial_parameters(const ParameterMap& map, Random& random, double sample_rate_hz);

}  // namespace coil::capture
