// Lists the usable GPUs with the CUDA runtime.
#include <cuda_runtime.h>

#include "gpu/device.h"

namespace coil::gpu {
namespace {

__global__ void nothing() {}

struct Found {
  std::vector<Device> devices;
  std::string why_none;
};

Found look() {
  Found found;
  int count = 0;
  const cudaError_t answer = cudaGetDeviceCount(&count);
  if (answer != cudaSuccess || count == 0) {
    found.why_none = std::string("no CUDA device (") +
                     (answer == cudaSuccess ? "the driver knows none" : cudaGetErrorString(answer)) + ")";
    cudaGetLastError();
    return found;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    cudaFuncAttributes attributes;
    cudaError_t usable = cudaSetDevice(i);
    if (usable == cudaSuccess) usable = cudaGetDeviceProperties(&properties, i);
    if (usable == cudaSuccess)
      usable = cudaFuncGetAttributes(&attributes, nothing);  // fails if this build has no code for the GPU
    if (usable != cudaSuccess) {
      found.devices.clear();
      found.why_none = "CUDA device " + std::to_string(i) + " cannot be used (" + cudaGetErrorString(usable) + ")";
      cudaGetLastError();
      return found;
    }
    found.devices.push_back({i, properties.name, properties.totalGlobalMem, properties.multiProcessorCount});
  }
  cudaSetDevice(0);
  return found;
}

const Found& found() {
  static const Found once = look();
  return once;
}

}  // namespace

std::vector<Device> devices() { return found().devices; }
std::string why_no_device() { return found().why_none; }

}  // namespace coil::gpu
