// Discretisation, at the model's own rate and at others.
//
// At another sample rate, the impulse response C b z^k of the original rate is treated as samples of a continuous
// decay. z is that of the rescaled step. b is the original one times step_scale (the duration of a frame). D
// compensates the change of the sum over all samples, so that the response at 0 Hz stays the same. The rescaled b of
// either discretisation rule would hold an input value for another time, which would delay the signal by a fraction of
// a frame in every layer.
#include "ssm/model/s4d_bank.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace coil::ssm {

namespace {

using Complex = std::complex<double>;

// A mode with a smaller angle is treated as real. Its imaginary part would be lost in rounding but stay denormal, which
// is slow.
constexpr double kNoTurn = 0x1p-60;

// One mode. `fall` is 1 - z, which is tiny for a long memory.
struct Mode {
  Complex z, b, fall;
};

Mode discretised(Complex A, double dt, Discretization rule) {
  if (rule == Discretization::zoh) {
    const Complex x = dt * A;
    const double half_sine = std::sin(x.imag() / 2);
    // e^x - 1
    const Complex rise{std::expm1(x.real()) * std::cos(x.imag()) - 2 * half_sine * half_sine,
                       std::exp(x.real()) * std::sin(x.imag())};
    return {std::exp(x), rise / A, -rise};
  }
  const Complex h = dt * A / 2.0;
  return {(1.0 + h) / (1.0 - h), dt / (1.0 - h), -2.0 * h / (1.0 - h)};
}

}  // namespace

S4dBank s4d_bank(const S4dConfig& config, const Checkpoint& checkpoint) {
  const std::string prefix = config.name.empty() ? "" : config.name + ".";
  const int64_t channels = config.channels, modes = config.modes;
  const auto tensor = [&](const char* name, std::vector<int64_t> shape) {
    return checkpoint.doubles(prefix + name, shape);
  };
  const auto log_dt = tensor("kernel.log_dt", {channels}), log_A_real = tensor("kernel.log_A_real", {channels, modes});
  const auto A_imag = config.complex ? tensor("kernel.A_imag", {channels, modes}) : std::vector<double>();
  const auto C = config.complex ? tensor("kernel.C", {channels, modes, 2}) : tensor("kernel.C", {channels, modes});

  S4dBank bank;
  bank.D = tensor("D", {channels});
  for (size_t channel = 0; channel < size_t(channels); ++channel) {
    const double dt = std::exp(log_dt[channel]);
    bank.dt.push_back(config.step_scale * dt);
    for (size_t mode = 0; mode < size_t(modes); ++mode) {
      const size_t i = channel * size_t(modes) + mode;
      const Complex A{-std::exp(log_A_real[i]), config.complex ? A_imag[i] : 0.0};
      const Mode own = discretised(A, dt, config.discretization),
                 rescaled = discretised(A, bank.dt.back(), config.discretization);
      const Complex b = config.step_scale * own.b,
                    C_i = config.complex ? 2.0 * Complex{C[2 * i], C[2 * i + 1]} : Complex{C[i], 0.0};
      Complex z = rescaled.z;
      if (std::abs(z.imag()) < kNoTurn) z.imag(0.0);
      if (!std::isfinite(std::abs(z)) || !std::isfinite(std::abs(b)) || std::abs(b) < 1e-30 || std::abs(z) > 1.0)
        throw Error(checkpoint.source() + ": S4D bank '" + prefix +
                    "kernel' is not stable or its step size is out of range (channel " + std::to_string(channel) +
                    ", mode " + std::to_string(mode) + ")");
      if (config.step_scale != 1)
        bank.D[channel] += (C_i * own.b / own.fall * (1.0 - config.step_scale * own.fall / rescaled.fall)).real();
      bank.z.push_back(z), bank.b.push_back(b), bank.C.push_back(C_i);
    }
  }
  return bank;
}

}  // namespace coil::ssm
