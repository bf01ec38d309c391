// Mamba-3 on the GPU.
#pragma once

#include <memory>

#include "gpu/part.h"

namespace coil::gpu {

// Includes the norm before it, if any.
std::unique_ptr<Part> make_mamba3(const ssm::Mamba3Config& config, const ssm::PlannedPart& place, const Build& build);

}  // namespace coil::gpu
