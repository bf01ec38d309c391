// Dry material to learn a device from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace coil::circuits {

// At 48 kHz, -1 to 1 and a little beyond. The same seed gives the same sound.
std::vector<float> synthetic_dry(uint32_t seed, long frames);

// `count` takes of `seconds`, each made of excerpts of about 2.7 s that begin and end in silence: `recorded_share` of
// them from `recordings` (each at 48 kHz) at gains of 0.3 to 2, the others synthetic.
std::vector<std::vector<float>> make_material(const std::vector<std::vector<float>>& recordings, double recorded_share,
                                              uint32_t seed, size_t count, double seconds);

}  // namespace coil::circuits
