// Golden files on a GPU.
#pragma once

#include <vector>

#include "gpu/precision.h"
#include "ssm/verify/golden.h"

namespace coil::gpu {

// Runs the file as one batch on the first GPU, with several chunk sizes, with too little memory for one segment, and
// also from the middle of the signal. Throws Error if there is no GPU or the file is faulty. [main-thread]
ssm::GoldenResult run_golden(const ssm::Golden& golden, Precision precision = Precision::float32);

}  // namespace coil::gpu
