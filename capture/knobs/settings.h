// Which positions of a device's knobs to record: a plan, and what a set of recordings does not hold.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "capture/model_file.h"

namespace coil::capture {

using Setting = std::vector<double>;  // one position per knob, 0 to 1

// `count` further settings: first the corners of the range that are missing, then wherever most is unknown, over the
// whole range and in each knob's own. The same every time.
std::vector<Setting> propose_settings(std::span<const Setting> recorded, size_t knobs, size_t count);

// What makes a model of these settings guess, one sentence each: parts of a knob's range without a position, as in a
// grid, which does not hold the knob's taper; corners that were not recorded. Empty: nothing.
std::vector<std::string> gaps(std::span<const Setting> recorded, std::span<const Knob> knobs);

}  // namespace coil::capture
