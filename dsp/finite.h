// A default for values that are not finite.
#pragma once

#include <cmath>

namespace coil::dsp {

inline float finite_or(float value, float otherwise) noexcept { return std::isfinite(value) ? value : otherwise; }

}  // namespace coil::dsp
