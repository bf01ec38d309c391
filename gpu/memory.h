// GPU memory, page-locked host memory, streams and launches. Every failure of the CUDA runtime becomes an Error.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace coil::gpu {

inline void check(cudaError_t result, const char* what) {
  if (result != cudaSuccess) throw Error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(result));
}

// Of the current device.
inline int device_attribute(cudaDeviceAttr wanted) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "asking for the device");
  check(cudaDeviceGetAttribute(&value, wanted, device), "asking for the device's size");
  return value;
}

class CudaStream {
 public:
  CudaStream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream"); }
  ~CudaStream() { cudaStreamDestroy(stream_); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  operator cudaStream_t() const { return stream_; }
  void wait() const { check(cudaStreamSynchronize(stream_), "running on the GPU"); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event"); }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "recording an event"); }
  void hold_back(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event"); }
  void wait() const { check(cudaEventSynchronize(event_), "running on the GPU"); }

 private:
  cudaEvent_t event_ = nullptr;
};

enum class Where { device, pinned_host };

// Uninitialised. Grows on request, which discards the content.
template <class T, Where kWhere = Where::device>
class Array {
 public:
  Array() = default;
  explicit Array(size_t size) { require(size); }
  ~Array() { release(); }
  Array(Array&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Array& operator=(Array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  void require(size_t size) {
    if (size <= size_) return;
    release();
    void* memory = nullptr;
    if constexpr (kWhere == Where::device)
      check(cudaMalloc(&memory, size * sizeof(T)), "allocating memory of the GPU");
    else
      check(cudaMallocHost(&memory, size * sizeof(T)), "allocating page-locked memory");
    data_ = static_cast<T*>(memory);
    size_ = size;
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

  // Waits until the copy is complete. For a small block, cudaMemcpy may return earlier, and our streams do not wait for
  // it.
  void upload(std::span<const T> values) {
    require(values.size());
    check(cudaMemcpy(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice), "copying to the GPU");
    check(cudaStreamSynchronize(cudaStreamLegacy), "copying to the GPU");
  }
  std::vector<T> download() const {
    std::vector<T> values(size_);
    check(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), "copying from the GPU");
    return values;
  }

 private:
  void release() {
    if (!data_) return;
    if constexpr (kWhere == Where::device)
      cudaFree(data_);
    else
      cudaFreeHost(data_);
    data_ = nullptr;
    size_ = 0;
  }

  T* data_ = nullptr;
  size_t size_ = 0;
};

using DeviceFloats = Array<float>;
template <class T>
using PinnedArray = Array<T, Where::pinned_host>;

inline DeviceFloats uploaded(const std::vector<float>& values) {
  DeviceFloats array;
  array.upload(values);
  return array;
}

inline unsigned blocks_of(size_t work, size_t per_block) {
  return static_cast<unsigned>((work + per_block - 1) / per_block);
}

#ifdef __CUDACC__
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  kernel<<<grid, block, shared_bytes, stream>>>(Parameters(arguments)...);
  check(cudaGetLastError(), "starting a kernel");
}
#endif

}  // namespace coil::gpu
