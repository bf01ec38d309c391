// Plans which knob positions of a device to record, and finds what a set of recordings lacks.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "capture/model_file.h"

namespace coil::capture {

using Setting = std::vector<double>;  // one position per knob, 0 to 1

// Proposes `count` further settings: first the missing corners of the range, then those farthest from the known ones,
// over the whole range and for each knob. Deterministic.
std::vector<Setting> propose_settings(std::span<const Setting> recorded, size_t knobs, size_t count);

// What a model trained on these settings must guess, one sentence each. It lists parts of a knob's range without a
// position (a grid does not show the knob's taper) and corners that were not recorded. Empty if nothing is missing.
std::vector<std::string> gaps(std::span<const Setting> recorded, std::span<const Knob> knobs);

}  // namespace coil::capture
