// Learning a device while it is played: the learned model plays in a slot, and is kept in the library.
#pragma once

#include <juce_core/juce_core.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "plugin/audition.h"
#include "plugin/learn/learn_input.h"
#include "plugin/learn/learning.h"
#include "plugin/background.h"
#include "plugin/changes.h"
#include "plugin/model_library.h"

namespace coil::plugin {

// [any thread but the audio thread] unless stated otherwise, without the store's mutex
class Learner {
 public:
  Learner(Store& store, Changes& changes, Audition& audition, ModelLibrary& library, Background& background,
          Announcer& announcer)
      : store_(store),
        changes_(changes),
        audition_(audition),
        library_(library),
        background_(background),
        announcer_(announcer) {}
  ~Learner() { leave(); }
  void leave();  // drops what is not done yet

  // Learning a device. The dry sound is the normal input. The device's output comes in on the side chain, in coil-live
  // on input 2. Learned models play in the slot that was active, until the user chooses something else there. A new
  // learning discards the previous one.
  enum class LearnFrom { playing, test_signal };  // the test signal is played instead of the model
  void start_learning(LearnFrom from);            // throws Error if the host has not prepared the plugin
  enum class CaptureFile { capture, unusable_capture, other };
  // Calls `then` on the message thread with what the file says about itself, or why it cannot be used.
  void describe_capture(const juce::File& file, std::function<void(const juce::String& text, CaptureFile kind)> then);
  // Converts a capture of another program. The model goes into the library and the slot.
  void start_converting(const juce::File& capture);
  void stop_learning();  // ends the recording; the next call ends the training
  // Saves it to the library in the background; throws Error for an invalid name.
  juce::File keep_learned(const juce::String& name);
  // Restores the previous model, unless the learned one was kept.
  void discard_learned();
  LearnStatus learn_status() const;  // [any thread but the audio thread]
  LearnInput& input() { return input_; }
  const LearnInput& input() const { return input_; }
  LearnSettings& settings() { return settings_; }   // for the next learning
  bool learns() const noexcept { return learns_; }  // from what is played [any thread]
  void follow_rate(double sample_rate_hz);          // of the host
  void tick();                                      // from time to time, on the background thread

 private:
  // The learned model, and where it plays.
  struct Learned {
    std::shared_ptr<Learning> learning;
    uint64_t request = 0;  // the slot's request number, if nothing else was requested since
    int slot = 0;
    std::shared_ptr<const LoadedModel> heard;   // the model in the slot; initially the previous one
    std::shared_ptr<const LoadedModel> coming;  // the model that will be in the slot
    SlotContent before;
    bool plays = false;   // whether a learned model is in the slot
    bool loaded = false;  // whether the kept model was loaded
    std::string name;     // of a converted capture
  };

  uint64_t begin_learning();
  std::shared_ptr<Learning> learning() const;
  void set_learning(std::shared_ptr<Learning> learning, uint64_t request);
  void play_learned(uint64_t request, const Learning::Bytes& file);
  void end_learning(bool restore);

  Store& store_;
  Changes& changes_;
  Audition& audition_;
  ModelLibrary& library_;
  Background& background_;
  Announcer& announcer_;
  LearnInput input_;
  LearnSettings settings_;
  std::atomic<bool> learns_{false};
  Learned learned_;  // guarded by the store's mutex
};

}  // namespace coil::plugin
