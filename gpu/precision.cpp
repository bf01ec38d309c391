// The names of the precisions.
#include "gpu/precision.h"

#include "base/error.h"

namespace coil::gpu {

std::string to_string(Precision precision) {
  return precision == Precision::float32 ? "float32" : precision == Precision::tf32 ? "tf32" : "bf16";
}

Precision precision_from_name(const std::string& name) {
  for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bf16})
    if (to_string(precision) == name) return precision;
  throw Error("unknown precision \"" + name + "\" (float32, tf32 or bf16)");
}

}  // namespace coil::gpu
