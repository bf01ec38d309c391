// Checks whether a test can run on a GPU. If not, it prints why, and ctest counts the test as skipped.
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
