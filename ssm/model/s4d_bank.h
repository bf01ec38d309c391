// Computes the coefficients of an S4D filter bank from a checkpoint's parameters, for the config's sample rate.
#pragma once

#include <complex>
#include <vector>

#include "ssm/model/checkpoint.h"
#include "ssm/model/config.h"

namespace coil::ssm {

// x' = z x + b u, y = Re(C x') + D u for every channel, in double precision. z, b and C are (channels, modes). If modes
// are conjugate pairs, C includes the factor 2. Real modes have zero imaginary parts.
struct S4dBank {
  std::vector<std::complex<double>> z, b, C;
  std::vector<double> D, dt;  // (channels); dt is the rescaled step
};

// Source: Gu, Gupta, Goel, Re 2022, "On the Parameterization and Initialization of Diagonal State Space Models", eq. 3
// (zero-order hold and bilinear discretisation). Throws Error for tensors of wrong shapes and for unstable banks.
// [main-thread]
S4dBank s4d_bank(const S4dConfig& config, const Checkpoint& checkpoint);

}  // namespace coil::ssm
