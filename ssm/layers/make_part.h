// The definition of make_part, for the files of ssm/layers that define kinds of parts. No other file may include it.
#pragma once

#include "ssm/layers/part.h"

namespace coil::ssm {

// A kind's file defines compile_part(config, place, build) for it, then instantiates make_part.
template <class Config>
AnyPart make_part(const Config& config, const PlannedPart& place, const Build& build) {
  return compile_part(config, place, build);
}

}  // namespace coil::ssm
