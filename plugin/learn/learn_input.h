// The audio thread's part of learning: levels, the recording, and the test signal that is played instead of the model.
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

  // Peaks since they were last taken, of the dry and the returned signal.
  struct Levels {
    std::array<std::atomic<float>, 2> dry{}, wet{};
  };

  // Somebody looks at the levels. [any thread but the audio thread]
  void watch(bool on) noexcept { watched_ = on; }
  Levels& levels() noexcept { return levels_; }
  bool has_return() const noexcept { return has_return_; }  // there is a bus for it that the host has connected
  bool runs() noexcept { return blocks_.exchange(0) > 0; }  // sound ran since this was last asked

  // Recording; with a signal: that is played, and stands for the dry sound. [one thread, not the audio thread]
  void start(std::vector<float> signal);
  void stop() noexcept;
  SignalPiece read() { return ring_ ? ring_->read() : SignalPiece{}; }
  uint64_t lost_frames() const noexcept { return ring_ ? ring_->lost_frames() : 0; }
  bool recording() const noexcept { return recording_.load(std::memory_order_acquire); }  // [any thread]
  bool plays_signal() const noexcept { return plays_signal_; }                            // [any thread]
  int audio_core() const noexcept { return core_; }  // on which the audio thread ran last; below 0: not known
  void collect() { signals_.collect(); }

  // Both signals of a block, before anything is written over them. [audio-thread]
  void listen(const SignalPair& signals, size_t frames) noexcept;
  // The signal over the block, if one is to be played. [audio-thread]
  void play(dsp::AudioBlock block) noexcept;

 private:
  struct Signal {
    std::vector<float> frames;
    size_t at = 0;
    Signal* given_back_before = nullptr;
  };

  void take_signal() noexcept;

  std::unique_ptr<SignalRing> ring_;  // stays, once it was made
  dsp::Handover<Signal> signals_;
  std::unique_ptr<Signal> signal_;  // the audio thread's
  std::atomic<bool> watched_{false}, recording_{false}, plays_signal_{false}, has_return_{false};
  std::atomic<uint32_t> blocks_{0};
  std::atomic<int> core_{-1};
  Levels levels_;
};

}  // namespace coil::plugin
