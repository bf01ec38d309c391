// Zero-order hold in double precision.
#include "capture/trainer/discretisation.h"

#include <cmath>
#include <complex>

namespace coil::capture {
namespace {

using Complex = std::complex<double>;

struct Mode {
  Complex A, C, z, z_less_one;
  double dt;
};

template <class T>
Mode mode_of(const ParameterMap& map, const T* layer, size_t n) {
  Mode mode;
  mode.dt = std::exp(double(layer[map.layer.log_dt + n / map.shape.pairs]));
  mode.A = {-std::exp(double(layer[map.layer.log_A_real + n])), double(layer[map.layer.A_imag + n])};
  mode.C = {double(layer[map.layer.C + 2 * n]), double(layer[map.layer.C + 2 * n + 1])};
  mode.z = std::exp(mode.dt * mode.A);
  // e^(x + iv) - 1 without cancellation
  const double x = mode.dt * mode.A.real(), v = mode.dt * mode.A.imag(), half = std::sin(v / 2);
  mode.z_less_one = {std::expm1(x) * std::cos(v) - 2 * half * half, std::exp(x) * std::sin(v)};
  return mode;
}

}  // namespace

template <class T>
void discretise(const ParameterMap& map, const T* parameters, T* modes) {
  const size_t count = map.modes();
  for (size_t l = 0; l < map.shape.layers; ++l) {
    T* to = modes + l * kModeValues * count;
    for (size_t n = 0; n < count; ++n) {
      const Mode mode = mode_of(map, parameters + map.at_layer(l), n);
      const Complex c = 2.0 * mode.C * mode.z_less_one / mode.A;
      to[n] = T(mode.z.real()), to[count + n] = T(mode.z.imag());
      to[2 * count + n] = T(c.real()), to[3 * count + n] = T(c.imag());
    }
  }
}

template <class T>
void chain_modes(const ParameterMap& map, const T* parameters, double* gradient) {
  const LayerMap& at = map.layer;
  for (size_t l = 0; l < map.shape.layers; ++l) {
    double* g = gradient + map.at_layer(l);
    for (size_t c = 0; c < map.shape.d_model; ++c) g[at.log_dt + c] = 0;
    for (size_t n = 0; n < map.modes(); ++n) {
      const Mode mode = mode_of(map, parameters + map.at_layer(l), n);
      const Complex M(g[at.C + 2 * n], g[at.C + 2 * n + 1]), Q(g[at.log_A_real + n], g[at.A_imag + n]);
      const Complex held = mode.z_less_one / mode.A, c = 2.0 * mode.C * held;
      // dL = Re(M dc + c Q dz), dz = z (A d(dt) + dt dA), dc = 2 held dC + 2 C (dz / A - held dA / A)
      const Complex of_z = 2.0 * M * mode.C / mode.A + c * Q;
      const Complex of_A = of_z * mode.z * mode.dt - 2.0 * M * mode.C * held / mode.A, of_C = 2.0 * M * held;
      g[at.C + 2 * n] = of_C.real(), g[at.C + 2 * n + 1] = -of_C.imag();
      g[at.log_A_real + n] = of_A.real() * mode.A.real(), g[at.A_imag + n] = -of_A.imag();
      g[at.log_dt + n / map.shape.pairs] += (of_z * mode.z * mode.A).real() * mode.dt;
    }
  }
}

template void discretise(const ParameterMap&, const float*, float*);
template void discretise(const ParameterMap&, const double*, double*);
template void chain_modes(const ParameterMap&, const float*, double*);
template void chain_modes(const ParameterMap&, const double*, double*);

}  // namespace coil::capture
