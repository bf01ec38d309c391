// Renders a device's output at 48 kHz for dry sound and knob settings.
#pragma once

#include <vector>

#include "train/circuits/netlist.h"

namespace coil::circuits {

struct Job {
  std::vector<float> dry;  // 1: the netlist's input_volts
  std::vector<double> positions;
  std::vector<float> wet;  // 1: the netlist's output_volts; starts at the operating point
};

// Uses `threads` threads. Returns in how many steps the solver did not converge.
size_t render(const Netlist& netlist, std::vector<Job>& jobs, size_t threads);

}  // namespace coil::circuits
