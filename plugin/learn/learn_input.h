// The audio thread's part of learning: levels, recording, and the test signal that replaces the model's output.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "dsp/handover.h"
#include "dsp/processor.h"
#include "plugin/learn/signal_ring.h"

namespace coil::plugin {

class LearnInput {
 public:
  static constexpr size_t kRingFrames = size_t{1} << 19;  // 10 s at 48 kHz

  // Peaks since the last read, of the dry and the returned signal.
  struct Levels {
    std::array<std::atomic<float>, 2> dry{}, wet{};
  };

  // Enables the level measurement. [any thread but the audio thread]
  void watch(bool on) noexcept { watched_ = on; }
  Levels& levels() noexcept { return levels_; }
  bool has_return() const noexcept { return has_return_; }  // the return bus is connected
  bool runs() noexcept { return blocks_.exchange(0) > 0; }  // whether sound was processed since the last call

  // Starts recording. If `signal` is not empty, it is played, and used as the dry sound. [main-thread]
  void start(std::vector<float> signal);
  void stop() noexcept;
  SignalPiece read() { return ring_ ? ring_->read() : SignalPiece{}; }
  uint64_t lost_frames() const noexcept { return ring_ ? ring_->lost_frames() : 0; }
  bool recording() const noexcept { return recording_.load(std::memory_order_acquire); }  // [any thread]
  bool plays_signal() const noexcept { return plays_signal_; }                            // [any thread]
  int audio_core() const noexcept { return core_; }  // the core on which the audio thread last ran; below 0: unknown
  void collect() { signals_.collect(); }

  // Records both signals of a block; call before they are overwritten. [audio-thread]
  void listen(const SignalPair& signals, size_t frames) noexcept;
  // Replaces the block by the test signal, if one is being played. [audio-thread]
  void play(dsp::AudioBlock block) noexcept;

 private:
  struct Signal {
    std::vector<float> frames;
    size_t at = 0;
    Signal* given_back_before = nullptr;
  };

  void take_signal() noexcept;

  std::unique_ptr<SignalRing> ring_;  // once made, it stays
  dsp::Handover<Signal> signals_;
  std::unique_ptr<Signal> signal_;  // used by the audio thread
  std::atomic<bool> watched_{false}, recording_{false}, plays_signal_{false}, has_return_{false};
  std::atomic<uint32_t> blocks_{0};
  std::atomic<int> core_{-1};
  Levels levels_;
};

}  // namespace coil::plugin
