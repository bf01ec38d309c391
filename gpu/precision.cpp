// Precisions and their names.
#include "gpu/precision.h"

namespace coil::gpu {

std::string to_string(Precision precision) {
  switch (precision) {
    case Precision::float32:
      return "float32";
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      return "bf16";
  }
  throw Error("unknown precision " + std::to_string(static_cast<int>(precision)));
}

Precision precision_from_name(const std::string& name) {
  for (const Precision precision : {Precision::float32, Precision::tf32, Precision::bf16})
    if (to_string(precision) == name) return precision;
  throw Error("unknown precision \"" + name + "\" (float32, tf32 or bf16)");
}

}  // namespace coil::gpu
