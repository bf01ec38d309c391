// What this machine can do at best, measured: the floor under the time that a model takes.
#pragma once

#include <cstddef>

#include "ssm/model/cost.h"
#include "ssm/machine/target.h"

namespace coil::ssm {

struct ArithmeticSpeed {
  double mac_ns = 0;  // a multiply-add, with all operands in registers
  double exp_ns = 0;  // an exponential as the kernels compute it, from L1 to L1
};

// The best that this thread reaches on `target` in 20 ms, which a disturbance may outlast. [main-thread]
ArithmeticSpeed measure_arithmetic(Target target);

// The time of a step that is nothing but its arithmetic, one after the other, at this speed.
double arithmetic_floor_ns(const Cost& cost, const ArithmeticSpeed& speed);

// The time in which this thread reads `bytes` of weights that it goes through again and again, from the cache that
// holds them or from memory. 0 below 4 MB: the arithmetic's speed is that of the nearer caches. Takes up to 512 MB for
// a moment. [main-thread]
double measure_read_ns(size_t bytes);

// The time in which this thread reads and writes `bytes` of states in place, each once, that it goes through again and
// again. Takes up to 512 MB for a moment. [any thread but the audio thread]
double measure_update_ns(size_t bytes);

}  // namespace coil::ssm
