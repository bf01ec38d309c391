// The interface of another program's network: frames in, frames out, and a memory.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace coil::capture {

// Frames are interleaved. One thread at a time.
class Network {
 public:
  static constexpr size_t kMostFrames = 256;  // per call

  virtual ~Network() = default;

  virtual size_t inputs() const = 0;
  virtual size_t outputs() const = 0;
  // After this many frames of silence the past no longer matters: exactly for finite memory, approximately for
  // recurrent layers.
  virtual size_t memory_frames() const = 0;
  virtual void process(const float* in, size_t frames, float* out) = 0;
  // A copy in the same state.
  virtual std::unique_ptr<Network> clone() const = 0;

  // Any number of frames.
  void process_all(const float* in, size_t frames, float* out) {
    for (size_t t = 0; t < frames; t += kMostFrames) {
      process(in + t * inputs(), frames - t < kMostFrames ? frames - t : kMostFrames, out + t * outputs());
    }
  }
  void settle() {
    const std::vector<float> silence(memory_frames() * inputs());
    std::vector<float> unheard(memory_frames() * outputs());
    process_all(silence.data(), memory_frames(), unheard.data());
  }
};

}  // namespace coil::capture
