// Attention over a window of frames on the GPU.
#pragma once

#include <memory>

#include "gpu/part.h"

namespace coil::gpu {

std::unique_ptr<Part> make_attention(const ssm::AttentionConfig& config, const ssm::PartTraits& traits,
                                     const Build& build);

}  // namespace coil::gpu
