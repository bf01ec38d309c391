// Mamba-3's scan in bf16 for the sizes of the published models: two heads a block, operands in shared memory as bf16.
#pragma once

#include "gpu/mamba3.h"

namespace coil::gpu {

// True for 64 or 128 states, heads of 16, 32 or 64 channels in groups of an even number of heads, and one rank without
// weights, or four whose pairs of states are halves apart and whose output is gated; all tensors as aligned vectors.
bool serves_mamba3_bf16(const Mamba3Arguments& m);

// One pass over the chunks: from their true states with outputs, or from zero (gpu/mamba3_kernels.cuh).
void run_mamba3_bf16(const Mamba3Arguments& m, bool true_states, const Mamba3Scratch& scratch, const DevicePlan& plan,
                     cudaStream_t stream);

}  // namespace coil::gpu
