// Makes dry sound for training.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace coil::circuits {

// At 48 kHz, about -1 to 1. The same seed gives the same sound.
std::vector<float> synthetic_dry(uint32_t seed, long frames);

// `count` takes of `seconds`, made of excerpts of about 2.7 s with silence between them. The share `recorded_share`
// comes from `recordings` (at 48 kHz) at gains of 0.3 to 2, the rest is synthetic. Of the recorded excerpts, the share
// `half_speed_share` is played at half speed.
std::vector<std::vector<float>> make_material(const std::vector<std::vector<float>>& recordings, double recorded_share,
                                              double half_speed_share, uint32_t seed, size_t count, double seconds);

}  // namespace coil::circuits
