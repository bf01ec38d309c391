// A device's sound at 48 kHz for dry sound and settings of its knobs.
#pragma once

#include <vector>

#include "train/circuits/netlist.h"

namespace coil::circuits {

struct Job {
  std::vector<float> dry;  // 1: the netlist's input_volts
  std::vector<double> positions;
  std::vector<float> wet;  // 1: its output_volts; begins at rest
};

// On `threads` threads. Returns how many steps of the solver did not end.
size_t render(const Netlist& netlist, std::vector<Job>& jobs, size_t threads);

}  // namespace coil::circuits
