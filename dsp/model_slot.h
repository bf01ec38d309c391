// A place for one voice, which another thread may change for another while it sounds.
#pragma once

#include <memory>
#include <utility>

#include "dsp/audio_buffer.h"
#include "dsp/handover.h"
#include "dsp/voice.h"

namespace coil::dsp {

class ModelSlot {
 public:
  // Plays `voice`, and nothing that was there or on its way. start() must follow. [main-thread, while process() is not
  // running]
  void prepare(std::unique_ptr<Voice> voice, const ProcessSpec& spec, int max_block_frames);

  // Returns the voice that was posted before and not taken. [any thread but the audio thread]
  std::unique_ptr<Voice> post(std::unique_ptr<Voice> voice) { return handover_.post(std::move(voice)); }
  void collect() { handover_.collect(); }                        // [any thread but the audio thread]
  bool waiting() const noexcept { return handover_.waiting(); }  // [any thread]

  // All below: [audio-thread]
  // Takes a posted voice, in whose stead `heard` keeps the one before for a cross-fade; not while such a fade goes on.
  // True: start() must follow.
  bool take(bool heard) noexcept;
  void start(const VoiceSettings& settings) noexcept;
  void follow(const VoiceSettings& settings) noexcept { voice_->follow(settings); }
  void process(const VoiceInput& in, AudioBlock out) noexcept;  // out: at most max_block_frames
  void end_fade() noexcept;

  Voice& voice() noexcept { return *voice_; }
  Voice::Counts take_counts() noexcept { return std::exchange(counts_, {}); }

 private:
  Handover<Voice> handover_;
  std::unique_ptr<Voice> voice_, leaving_;
  Ramp fade_;  // 1: `leaving_` is heard
  AudioBuffer leaving_frames_;
  Voice::Counts counts_;
};

}  // namespace coil::dsp
