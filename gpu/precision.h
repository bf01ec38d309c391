// The number format of matrix products on a GPU. Sums, states, decays and stored values are always float32.
#pragma once

#include <string>

#include "base/error.h"

namespace coil::gpu {

enum class Precision {
  float32,  // every float32 as the sum of two tf32 or float16 numbers: 22 bits
  tf32,     // 11 bits: a tf32 number, or a float16 with one scale per row
  bf16,     // 8 bits
};

// Returns f.operator()<precision>(). The compiler rejects a precision without a case.
template <class F>
decltype(auto) with_precision(Precision precision, const F& f) {
  switch (precision) {
    case Precision::float32:
      return f.template operator()<Precision::float32>();
    case Precision::tf32:
      return f.template operator()<Precision::tf32>();
    case Precision::bf16:
      return f.template operator()<Precision::bf16>();
  }
  throw Error("unknown precision " + std::to_string(static_cast<int>(precision)));
}

std::string to_string(Precision precision);
// Throws Error for an unknown name.
Precision precision_from_name(const std::string& name);

}  // namespace coil::gpu
