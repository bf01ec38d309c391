// Which parts of a take are kept from the training, to see how good the model is where it was not trained.
#pragma once

#include <vector>

#include "capture/recordings/take.h"

namespace coil::capture {

// In each 8 s (of a shorter take: in all of it) the half second, at most a sixteenth, whose level is nearest to the
// whole's.
std::vector<Span> held_out_spans(const Take& take, double sample_rate_hz);

}  // namespace coil::capture
