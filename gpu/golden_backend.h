// Golden files on a GPU.
#pragma once

#include <vector>

#include "gpu/precision.h"
#include "ssm/verify/golden.h"

namespace coil::gpu {

// Runs the file as one batch on the first GPU, in chunks of several sizes and with too little memory for one segment,
// also starting in the middle of the signal. Throws Error: no GPU, or any fault of the file. [main-thread]
ssm::GoldenResult run_golden(const ssm::Golden& golden, Precision precision = Precision::float32);

}  // namespace coil::gpu
