// Whether a test can run on a GPU; if not, it prints why, and ctest counts it as skipped.
#pragma once

#include <catch2/catch.hpp>

#include "gpu/device.h"

namespace coil::test {

inline bool gpu_here() {
  if (!gpu::devices().empty()) return true;
  WARN("skipped: " << gpu::why_no_device());
  return false;
}

}  // namespace coil::test
