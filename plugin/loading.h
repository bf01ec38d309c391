// Loading of models, presets and sessions into the slots, and undo.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "plugin/announcer.h"
#include "plugin/background.h"
#include "plugin/changes.h"
#include "plugin/model_library.h"
#include "plugin/store.h"
#include "plugin/undo.h"

namespace coil::plugin {

// [message-thread], without the store's mutex, unless stated otherwise. Loading and settling of models is only
// requested. It runs on another thread, in the order of the requests, while the current sound continues.
class Loading {
 public:
  Loading(Store& store, Undo& undo, Changes& changes, ModelLibrary& library, Background& background,
          Announcer& announcer)
      : store_(store),
        undo_(undo),
        changes_(changes),
        library_(library),
        background_(background),
        announcer_(announcer) {}
  ~Loading() { leave(); }
  void leave() { background_.leave(this); }  // drops what is not done yet

  enum class Keep { at_once, audition };
  // A model (.safetensors) or user preset (.coil). Returns the number of the request. [any thread but the audio thread]
  uint64_t load_file(int slot, const juce::File& file, Keep keep = Keep::at_once);
  void clear(int slot);
  void copy_to_other_slot();
  void set_active_slot(int slot);
  void set_rate_mode(dsp::RateMode mode);

  void undo();  // while a file loads: cancels that
  void redo();
  // By undo, redo, or the end of an audition. [any thread but the audio thread], with the store's mutex
  void go_to(Session session);

  // -- of the host
  void open(std::span<const std::byte> state);  // a session or a rig; takes effect before it returns
  // The rack was prepared for this rate. `problem`: why it could not be; else empty.
  void follow_spec(double sample_rate_hz, const std::string& problem);

 private:
  void load_now(int slot, const juce::File& file, Change change);
  void go_back_or_on(bool back);  // with the mutex

  Store& store_;
  Undo& undo_;
  Changes& changes_;
  ModelLibrary& library_;
  Background& background_;
  Announcer& announcer_;
};

}  // namespace coil::plugin
