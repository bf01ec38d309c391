// Runs a circuit over sound, for several knob settings in parallel.
#pragma once

#include <cstddef>
#include <vector>

#include "train/circuits/circuit.h"

namespace coil::circuits {

// How many circuits run in parallel on this machine.
size_t lanes();

// One netlist at lanes() settings: the circuits differ only in the values of their linear parts.
class Solver {
 public:
  // Starts at the operating point: supplies switched on long ago, no input. Throws Error if there is none.
  Solver(const std::vector<Circuit>& circuits, double step_s);

  // Volts at inputs and outputs, interleaved by lane.
  void run(const double* in, double* out, size_t steps);

  bool has_memory() const;  // whether its output still settles when the bias of a tape begins
  double rest(size_t lane) const { return rest_[lane]; }  // output voltage at the operating point
  size_t failures() const { return failures_; }           // steps in which Newton's method did not converge

 private:
  void find_rest(const std::vector<Circuit>& circuits, double step_s);

  std::vector<Part> parts_;
  size_t states_ = 0, controls_ = 0, currents_ = 0, failures_ = 0;
  std::vector<double> matrix_, state_, voltages_, before_, memory_, rest_;
  double step_s_ = 0;  // 0: the operating point is not found yet
};

}  // namespace coil::circuits
