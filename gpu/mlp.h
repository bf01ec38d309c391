// MLPs and mixtures of experts on the GPU.
#pragma once

#include <memory>

#include "gpu/part.h"

namespace coil::gpu {

std::unique_ptr<Part> make_mlp(const ssm::MlpConfig& config, const Build& build);
std::unique_ptr<Part> make_moe(const ssm::MoeConfig& config, const Build& build);

}  // namespace coil::gpu
