// A place for a chain, which another thread may change for another while it sounds.
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

  // How long a new chain's input swells while it runs unheard, so that nothing of it sets in at once, however late a
  // response answers; then how long the cross-fade is.
  static constexpr float kWarmUpMs = 20, kFadeMs = 25;

  // Plays `placed`, which is prepared for the spec, and nothing that was there or on its way. [main-thread, while
  // process() is not running]
  void prepare(std::unique_ptr<Placed> placed, const ProcessSpec& spec, int max_block_frames);

  // Returns the chain that was posted before and not taken. [any thread but the audio thread]
  std::unique_ptr<Placed> post(std::unique_ptr<Placed> placed) { return handover_.post(std::move(placed)); }
  void collect() { handover_.collect(); }  // [any thread but the audio thread]

  // All below: [audio-thread]
  // Takes a posted chain; `at_once`: without a fade.
  void take(bool at_once) noexcept;
  // Off: the sound passes by. Faded, or `at_once`.
  void set_on(bool on, bool at_once) noexcept;
  void process(AudioBlock block) noexcept;  // at most max_block_frames
  void reset() noexcept;                    // also before prepare()

 private:
  void end_fade() noexcept { handover_.give_back(std::move(leaving_)); }

  Handover<Placed> handover_;
  std::unique_ptr<Placed> placed_, leaving_;
  Ramp fade_;   // 1: `leaving_` is heard
  Ramp swell_;  // of what a new chain hears
  Ramp off_;    // 1: the chain is not heard
  int warm_up_frames_ = 0;
  AudioBuffer leaving_frames_, dry_;
};

}  // namespace coil::dsp
