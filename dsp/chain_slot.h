// Holds a chain. Another thread may replace it while it plays.
#pragma once

#include <memory>
#include <utility>

#include "dsp/audio_buffer.h"
#include "dsp/chain.h"
#include "dsp/handover.h"
#include "dsp/ramp.h"

namespace coil::dsp {

class ChainSlot {
 public:
  struct Placed {
    Chain chain;
    Placed* given_back_before = nullptr;  // for Handover
  };

  // A new chain first runs unheard for kWarmUpMs, while its input fades in, so that no part of its response starts
  // abruptly, however late. The cross-fade then takes kFadeMs.
  static constexpr float kWarmUpMs = 20, kFadeMs = 25;

  // Plays `placed`, which must be prepared for the spec. Drops the chain that was there and any posted one.
  // [main-thread], while process() is not running.
  void prepare(std::unique_ptr<Placed> placed, const ProcessSpec& spec, int max_block_frames);

  // Returns a chain that was posted earlier and not taken. [any thread but the audio thread]
  std::unique_ptr<Placed> post(std::unique_ptr<Placed> placed) { return handover_.post(std::move(placed)); }
  void collect() { handover_.collect(); }  // [any thread but the audio thread]

  // All functions below are [audio-thread].
  // Takes a posted chain. `at_once`: without a fade.
  void take(bool at_once) noexcept;
  // Switches the chain off (its input passes unchanged) or on; with a fade, or `at_once`.
  void set_on(bool on, bool at_once) noexcept;
  void process(AudioBlock block) noexcept;  // at most max_block_frames
  void reset() noexcept;                    // allowed before prepare()

 private:
  void end_fade() noexcept { handover_.give_back(std::move(leaving_)); }

  Handover<Placed> handover_;
  std::unique_ptr<Placed> placed_, leaving_;
  Ramp fade_;     // 1: only `leaving_` is heard
  Ramp fade_in_;  // of a new chain's input
  Ramp off_;      // 1: the chain is bypassed
  int warm_up_frames_ = 0;
  AudioBuffer leaving_frames_, dry_;
};

}  // namespace coil::dsp
