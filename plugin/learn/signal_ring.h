// A ring of a device's input and output, from the audio thread to the learning thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace coil::plugin {

// Two channels of each signal; null: silent.
struct SignalPair {
  std::array<const float*, 2> dry{}, wet{};
};

// Interleaved stereo of both signals, equally long.
struct SignalPiece {
  std::vector<float> dry, wet;
  size_t lost_frames = 0;  // frames missing after this piece
};

// A bounded queue with one writer and one reader. When it is full, the writer drops whole blocks until the reader has
// emptied it, so that there is only one gap.
class SignalRing {
 public:
  explicit SignalRing(size_t frames) : frames_(frames), samples_(frames * kSamplesPerFrame) {}

  // [audio-thread]
  void write(const SignalPair& signals, size_t frames) noexcept {
    const size_t written = written_.load(std::memory_order_relaxed);
    if (lost_now_.load(std::memory_order_acquire) > 0 ||
        frames_ - (written - read_.load(std::memory_order_acquire)) < frames) {
      lost_now_.fetch_add(frames, std::memory_order_release);
      return;
    }
    const std::array sources{signals.dry[0], signals.dry[1], signals.wet[0], signals.wet[1]};
    for (size_t t = 0; t < frames; ++t) {
      float* const out = &samples_[(written + t) % frames_ * kSamplesPerFrame];
      for (size_t s = 0; s < kSamplesPerFrame; ++s) out[s] = sources[s] ? sources[s][t] : 0.0f;
    }
    written_.store(written + frames, std::memory_order_release);
  }

  // Returns everything available. [main-thread]
  SignalPiece read() {
    SignalPiece piece;
    const size_t lost = lost_now_.load(std::memory_order_acquire);
    const size_t begin = read_.load(std::memory_order_relaxed), end = written_.load(std::memory_order_acquire);
    piece.dry.reserve(2 * (end - begin)), piece.wet.reserve(2 * (end - begin));
    for (size_t t = begin; t < end; ++t) {
      const float* const in = &samples_[t % frames_ * kSamplesPerFrame];
      piece.dry.insert(piece.dry.end(), {in[0], in[1]});
      piece.wet.insert(piece.wet.end(), {in[2], in[3]});
    }
    read_.store(end, std::memory_order_release);
    // The writer has not written since it dropped the first of them.
    if (lost > 0) piece.lost_frames = lost_now_.exchange(0, std::memory_order_acq_rel);
    lost_ += piece.lost_frames;
    return piece;
  }

  uint64_t lost_frames() const noexcept { return lost_; }  // in total [any thread]

 private:
  static constexpr size_t kSamplesPerFrame = 4;

  const size_t frames_;
  std::vector<float> samples_;
  std::atomic<size_t> written_{0}, read_{0};
  std::atomic<size_t> lost_now_{0};  // since the last read(); above 0: nothing is written
  std::atomic<uint64_t> lost_{0};
};

}  // namespace coil::plugin
