// Holds one model. Another thread may replace it while it plays.
#pragma once

#include <memory>
#include <utility>

#include "dsp/audio_buffer.h"
#include "dsp/handover.h"
#include "dsp/slot_model.h"

namespace coil::dsp {

class ModelSlot {
 public:
  // Plays `slot_model`. Drops the model that was there and any posted one. start() must follow. [main-thread], while
  // process() is not running.
  void prepare(std::unique_ptr<SlotModel> slot_model, const ProcessSpec& spec, int max_block_frames);

  // Returns a model that was posted earlier and not taken. [any thread but the audio thread]
  std::unique_ptr<SlotModel> post(std::unique_ptr<SlotModel> slot_model) {
    return handover_.post(std::move(slot_model));
  }
  void collect() { handover_.collect(); }                        // [any thread but the audio thread]
  bool waiting() const noexcept { return handover_.waiting(); }  // [any thread]

  // All functions below are [audio-thread].
  // Takes a posted model, but not during a cross-fade. With `heard`, the previous model is kept for a cross-fade.
  // Returns true if start() must follow.
  bool take(bool heard) noexcept;
  void start(const SlotSettings& settings) noexcept;
  void follow(const SlotSettings& settings) noexcept { slot_model_->follow(settings); }
  void process(const SlotInput& in, AudioBlock out) noexcept;  // out: at most max_block_frames
  void end_fade() noexcept;

  SlotModel& slot_model() noexcept { return *slot_model_; }
  SlotModel::Counts take_counts() noexcept { return std::exchange(counts_, {}); }

 private:
  Handover<SlotModel> handover_;
  std::unique_ptr<SlotModel> slot_model_, leaving_;
  Ramp fade_;  // 1: only `leaving_` is heard
  AudioBuffer leaving_frames_;
  SlotModel::Counts counts_;
};

}  // namespace coil::dsp
