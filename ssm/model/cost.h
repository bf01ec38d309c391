// What one step of a model costs.
#pragma once

#include <cstdint>

namespace coil::ssm {

struct Cost {
  double macs_per_step = 0;  // multiply-adds while no knob moves, including the slow path's average share
  double exps_per_step = 0;  // exp, tanh, sigmoid, softplus and erf count as one each
  int64_t parameters = 0;
};

inline Cost operator+(const Cost& a, const Cost& b) {
  return {a.macs_per_step + b.macs_per_step, a.exps_per_step + b.exps_per_step, a.parameters + b.parameters};
}
inline Cost& operator+=(Cost& a, const Cost& b) { return a = a + b; }

}  // namespace coil::ssm
