// A circuit for one time step, reduced to its states and to the control voltages of its non-linear parts.
#pragma once

#include <vector>

#include "train/circuits/circuit.h"

namespace coil::circuits {

// With states s (one per capacitor and inductor), input u and currents z of the non-linear parts:
//   v = P s + P_u u + P_1 + K z        control voltages
//   s = A s + A_u u + A_1 + A_z z      next states
//   y = Y s + Y_u u + Y_1 + Y_z z      output
// `matrix` holds (P, A, Y) in rows and (s, u, 1, z) in columns.
struct System {
  size_t states = 0, controls = 0, currents = 0;
  std::vector<double> matrix;
  std::vector<double> conductance;  // of each state's companion model

  size_t rows() const { return controls + states + 1; }
  size_t columns() const { return states + 2 + currents; }
};

enum class Rule { backward_euler, trapezoidal };

// Throws Error if the linear part of the circuit has no solution.
System reduce(const Circuit& circuit, double step_s, Rule rule);

}  // namespace coil::circuits
