// Zero-order hold in double precision.
#include "capture/trainer/discretisation.h"

#include <cmath>
#include <complex>
#include <vector>

namespace coil::capture {
namespace {

using Complex = std::complex<double>;

// Offsets of the parameters of a bank of modes: of a layer, or of the filter.
struct Bank {
  size_t at, log_dt, log_A_real, A_imag, C;
  size_t count, modes_per_step;
};

std::vector<Bank> banks_of(const ParameterMap& map) {
  std::vector<Bank> banks;
  const LayerMap& layer = map.layer;
  for (size_t l = 0; l < map.shape.layers; ++l)
    banks.push_back(
        {map.at_layer(l), layer.log_dt, layer.log_A_real, layer.A_imag, layer.C, map.modes(), map.shape.pairs});
  const FilterMap& filter = map.filter_bank;
  if (filter.size > 0)
    banks.push_back({map.filter, filter.log_dt, filter.log_A_real, filter.A_imag, filter.C, map.shape.filter_modes, 1});
  return banks;
}

struct Mode {
  Complex A, C, z, z_less_one;
  double dt;
};

template <class T>
Mode mode_of(const Bank& bank, const T* p, size_t n) {
  Mode mode;
  mode.dt = std::exp(double(p[bank.log_dt + n / bank.modes_per_step]));
  mode.A = {-std::exp(double(p[bank.log_A_real + n])), double(p[bank.A_imag + n])};
  mode.C = {double(p[bank.C + 2 * n]), double(p[bank.C + 2 * n + 1])};
  mode.z = std::exp(mode.dt * mode.A);
  // e^(x + iv) - 1 without cancellation
  const double x = mode.dt * mode.A.real(), v = mode.dt * mode.A.imag(), half = std::sin(v / 2);
  mode.z_less_one = {std::expm1(x) * std::cos(v) - 2 * half * half, std::exp(x) * std::sin(v)};
  return mode;
}

}  // namespace

template <class T>
void discretise(const ParameterMap& map, const T* parameters, T* modes, size_t share, size_t shares) {
  size_t turn = 0;
  for (const Bank& bank : banks_of(map)) {
    for (size_t n = 0; n < bank.count && turn % shares == share; ++n) {
      const Mode mode = mode_of(bank, parameters + bank.at, n);
      const Complex c = 2.0 * mode.C * mode.z_less_one / mode.A;
      modes[n] = T(mode.z.real()), modes[bank.count + n] = T(mode.z.imag());
      modes[2 * bank.count + n] = T(c.real()), modes[3 * bank.count + n] = T(c.imag());
    }
    modes += kModeValues * bank.count;
    ++turn;
  }
}

template <class T>
void chain_modes(const ParameterMap& map, const T* parameters, double* gradient) {
  for (const Bank& at : banks_of(map)) {
    double* g = gradient + at.at;
    for (size_t i = 0; i < at.count / at.modes_per_step; ++i) g[at.log_dt + i] = 0;
    for (size_t n = 0; n < at.count; ++n) {
      const Mode mode = mode_of(at, parameters + at.at, n);
      const Complex M(g[at.C + 2 * n], g[at.C + 2 * n + 1]), Q(g[at.log_A_real + n], g[at.A_imag + n]);
      const Complex held = mode.z_less_one / mode.A, c = 2.0 * mode.C * held;
      // dL = Re(M dc + c Q dz), dz = z (A d(dt) + dt dA), dc = 2 held dC + 2 C (dz / A - held dA / A)
      const Complex of_z = 2.0 * M * mode.C / mode.A + c * Q;
      const Complex of_A = of_z * mode.z * mode.dt - 2.0 * M * mode.C * held / mode.A, of_C = 2.0 * M * held;
      g[at.C + 2 * n] = of_C.real(), g[at.C + 2 * n + 1] = -of_C.imag();
      g[at.log_A_real + n] = of_A.real() * mode.A.real(), g[at.A_imag + n] = -of_A.imag();
      g[at.log_dt + n / at.modes_per_step] += (of_z * mode.z * mode.A).real() * mode.dt;
    }
  }
}

template void discretise(const ParameterMap&, const float*, float*, size_t, size_t);
template void discretise(const ParameterMap&, const double*, double*, size_t, size_t);
template void chain_modes(const ParameterMap&, const float*, double*);
template void chain_modes(const ParameterMap&, const double*, double*);

}  // namespace coil::capture
