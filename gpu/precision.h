// The number format of matrix products on a GPU. Sums, states, decays and stored values are always float32.
#pragma once

#include <string>

namespace coil::gpu {

enum class Precision {
  float32,  // every float32 as the sum of two tf32 or float16 numbers: 22 bits
  tf32,     // 11 bits: a tf32 number, or a float16 with one scale per row
  bf16,     // 8 bits
};

std::string to_string(Precision precision);
// Throws Error for an unknown name.
Precision precision_from_name(const std::string& name);

}  // namespace coil::gpu
