// Runs a circuit over sound, several settings of its knobs side by side.
#pragma once

#include <cstddef>
#include <vector>

#include "train/circuits/circuit.h"

namespace coil::circuits {

// How many circuits run side by side on this machine.
size_t lanes();

// One netlist at as many settings as lanes() says: circuits that differ in the values of their linear parts alone.
class Solver {
 public:
  // From rest: with the supplies on for long, and nothing at the input. Throws Error where there is no rest.
  Solver(const std::vector<Circuit>& circuits, double step_s);

  // Volts at inputs and outputs, lanes beside each other.
  void run(const double* in, double* out, size_t steps);

  double rest(size_t lane) const { return rest_[lane]; }  // volts at the output
  size_t failures() const { return failures_; }           // steps in which Newton's method did not end

 private:
  void find_rest(const std::vector<Circuit>& circuits, double step_s);

  std::vector<Part> parts_;
  size_t states_ = 0, controls_ = 0, currents_ = 0, failures_ = 0;
  std::vector<double> matrix_, state_, voltages_, before_, rest_;
};

}  // namespace coil::circuits
