// Maps knob positions to each layer's scale and shift and to an addition to the output row: linear and quadratic terms,
// no hidden layer.
#pragma once

#include <span>
#include <vector>

#include "capture/trainer/shape.h"

namespace coil::capture {

// k'_i = 2 k_i - 1, then k'_i k'_j for i <= j. knobs: 0 to 1.
std::vector<double> knob_features(std::span<const double> knobs);

// film = weight features: for each layer scale [d], then shift [d]; at the end [d] for the output row.
template <class T>
std::vector<double> film_vector(const ParameterMap& map, const T* parameters, std::span<const double> knobs);

// Adds to the gradient of the weights.
void add_film_gradient(const ParameterMap& map, std::span<const double> knobs, std::span<const double> film_gradient,
                       double* gradient);

}  // namespace coil::capture
