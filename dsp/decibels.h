// Converts decibels to factors and back.
#pragma once

#include <algorithm>
#include <cmath>

namespace coil::dsp {

inline float db_to_gain(float db) noexcept { return std::pow(10.0f, db / 20); }

// Returns at least `floor_db`, also for silence.
inline float gain_to_db(float gain, float floor_db = -200) noexcept {
  return gain > 0 ? std::max(floor_db, 20 * std::log10(gain)) : floor_db;
}

}  // namespace coil::dsp
