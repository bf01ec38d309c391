// Which GPUs can be used. In a build without CUDA, or on a machine without a driver, none.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace coil::gpu {

struct Device {
  int index = 0;
  std::string name;
  size_t memory_bytes = 0;
  int multiprocessors = 0;
};

// The GPUs that this build has code for; empty if there are none, for whatever reason. [any thread]
std::vector<Device> devices();

// Why devices() is empty, as one clause ("no CUDA in this build"); empty if it is not. [any thread]
std::string why_no_device();

}  // namespace coil::gpu
