// S4D's zero-order hold: computes the modes that the kernels run from the parameters, and the gradients of the
// parameters.
#pragma once

#include <cstddef>

#include "capture/trainer/shape.h"

namespace coil::capture {

inline constexpr size_t kModeValues = 4;  // z_re, z_im, c_re, c_im

// modes: [layer][kModeValues][d][pairs], then [kModeValues][modes] of the filter, with z = exp(dt A), c = 2 C (z - 1) /
// A, A = -exp(log_A_real) + i A_imag, dt = exp(log_dt). Of `shares` threads, each does its share.
template <class T>
void discretise(const ParameterMap& map, const T* parameters, T* modes, size_t share = 0, size_t shares = 1);

// In place: M and Q of kernels.h (stored at the places of C and of log_A_real and A_imag) become the gradients of
// log_dt, log_A_real, A_imag, C.
template <class T>
void chain_modes(const ParameterMap& map, const T* parameters, double* gradient);

}  // namespace coil::capture
