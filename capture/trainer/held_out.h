// Chooses the parts of a take that are held out of the training, to measure the error on unseen sound.
#pragma once

#include <vector>

#include "capture/recordings/take.h"

namespace coil::capture {

// From every 8 s (or from the whole of a shorter take), half a second, at most a sixteenth, whose level is nearest to
// that of the whole.
std::vector<Span> held_out_spans(const Take& take, double sample_rate_hz);

}  // namespace coil::capture
