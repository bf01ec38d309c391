// Stages for the tests in this folder.
#pragma once

#include <vector>

#include "dsp/chain.h"

namespace coil::test {

// Gain, gate, equaliser, doubler and a cabinet with this number of taps.
std::vector<dsp::Stage> stages_without_latency(size_t taps);

}  // namespace coil::test
