// The machine's peak speed, measured: a lower bound for the time that a model takes.
#pragma once

#include <cstddef>

#include "ssm/model/cost.h"
#include "ssm/machine/target.h"

namespace coil::ssm {

struct ArithmeticSpeed {
  double mac_ns = 0;  // a multiply-add, with all operands in registers
  double exp_ns = 0;  // an exponential as the kernels compute it, with data in L1
};

// The peak that this thread reaches on `target` within 20 ms; a longer disturbance can lower it. [main-thread]
ArithmeticSpeed measure_arithmetic(Target target);

// The time of a step at this speed, if it were only its arithmetic, executed one after another.
double arithmetic_floor_ns(const Cost& cost, const ArithmeticSpeed& speed);

// The time in which this thread reads `bytes` of weights repeatedly, from the cache that holds them or from memory. 0
// below 4 MB, where the arithmetic's speed includes the nearer caches. Uses up to 512 MB temporarily. [main-thread]
double measure_read_ns(size_t bytes);

// The time in which this thread reads and writes `bytes` of states in place, each once, repeatedly. Uses up to 512 MB
// temporarily. [any thread but the audio thread]
double measure_update_ns(size_t bytes);

}  // namespace coil::ssm
