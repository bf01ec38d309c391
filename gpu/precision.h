// In which numbers a GPU multiplies; sums, states, decays and what lies in memory are float32 always.
#pragma once

#include <string>

namespace coil::gpu {

enum class Precision {
  float32,  // every float32 as the sum of two tf32 or float16 numbers: 22 bits
  tf32,     // 11 bits, of a tf32 number or, scaled by rows, a float16
  bf16,     // 8 bits
};

std::string to_string(Precision precision);
// Throws Error for a name that is none.
Precision precision_from_name(const std::string& name);

}  // namespace coil::gpu
