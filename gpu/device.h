// The usable GPUs. Empty in a build without CUDA and on a machine without a driver.
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

// The GPUs that this build has code for. Empty if there are none, for any reason. [any thread but the audio thread]
std::vector<Device> devices();

// Why devices() is empty, as one clause ("no CUDA in this build"). Empty if there are GPUs. [any thread but the audio
// thread]
std::string why_no_device();

}  // namespace coil::gpu
