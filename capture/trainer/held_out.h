// Chooses the parts of a take that are held out of the training, to measure the error on unseen sound.
#pragma once

#include <vector>

#include "capture/recordings/take.h"

namespace coil::capture {

// From every 8 s, the half second whose level is nearest to that of all 8 s. A take that is shorter gives a part of at
// most a sixteenth of it.
std::vector<Span> held_out_spans(const Take& take, double sample_rate_hz);

}  // namespace coil::capture
