// The last seconds of input and output, for display: the audio thread writes them, the window copies them.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "dsp/processor.h"

namespace coil::plugin {

// Keeps the mean of the channels, only while somebody listens, because most instances have no open window. If the
// writer overtakes a reader, the oldest part of the copy is newer than expected; nothing waits.
class SoundTap {
 public:
  enum class Side { input, output };
  static constexpr size_t kFrames = 1 << 15;

  // Held by a reader; the tap must outlive it. [any thread but the audio thread]
  class Listening {
   public:
    explicit Listening(SoundTap& tap) : tap_(tap) { ++tap_.listeners_; }
    ~Listening() { --tap_.listeners_; }
    Listening(const Listening&) = delete;
    Listening& operator=(const Listening&) = delete;

   private:
    SoundTap& tap_;
  };

  // [main-thread], while nothing is written.
  void prepare(double sample_rate_hz) {
    sample_rate_hz_ = sample_rate_hz;
    for (Ring& ring : rings_) {
      for (auto& frame : ring.frames) frame.store(0, std::memory_order_relaxed);
      ring.written.store(0, std::memory_order_release);
    }
  }

  double sample_rate_hz() const noexcept { return sample_rate_hz_; }  // 0: not prepared yet [any thread]
  // Frames written since prepare(). If it equals the last call's result, no sound was processed. [any thread]
  size_t frames_written(Side side) const noexcept { return ring(side).written.load(std::memory_order_acquire); }

  // [audio-thread]
  void write(Side side, dsp::AudioBlock block) noexcept {
    if (listeners_.load(std::memory_order_relaxed) == 0) return;
    Ring& ring = rings_[size_t(side)];
    const size_t written = ring.written.load(std::memory_order_relaxed);
    const float scale = 1.0f / float(std::max(block.channel_count, 1));
    for (int i = 0; i < block.frames; ++i) {
      float sum = 0;
      for (int c = 0; c < block.channel_count; ++c) sum += block.channels[c][i];
      ring.frames[(written + size_t(i)) % kFrames].store(sum * scale, std::memory_order_relaxed);
    }
    ring.written.store(written + size_t(block.frames), std::memory_order_release);
  }

  // The newest out.size() frames, at most kFrames, oldest first; zeros for the time before prepare(). [any thread]
  void read_latest(Side side, std::span<float> out) const noexcept {
    const Ring& from = ring(side);
    const size_t written = from.written.load(std::memory_order_acquire);
    for (size_t i = 0; i < out.size(); ++i) {
      const size_t age = out.size() - i;  // 1: the newest
      out[i] = age > written ? 0.0f : from.frames[(written - age) % kFrames].load(std::memory_order_relaxed);
    }
  }

 private:
  struct Ring {
    std::array<std::atomic<float>, kFrames> frames{};
    std::atomic<size_t> written{0};
  };
  const Ring& ring(Side side) const { return rings_[size_t(side)]; }

  std::array<Ring, 2> rings_;
  std::atomic<int> listeners_{0};
  std::atomic<double> sample_rate_hz_{0};
};

}  // namespace coil::plugin
