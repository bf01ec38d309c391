// Stages for the proofs of this folder.
#pragma once

#include <vector>

#include "dsp/chain.h"

namespace coil::test {

// Gain, gate, equaliser and a cabinet of so many taps.
std::vector<dsp::Stage> stages_without_latency(size_t taps);

}  // namespace coil::test
