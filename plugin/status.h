// What the window is told about slots, microphones, stages and snapshots.
#pragma once

#include <juce_core/juce_core.h>

#include <array>
#include <memory>

#include "plugin/cabinet.h"
#include "plugin/parameters.h"

namespace coil::plugin {

// A slot's state for the window. While a file loads, name and file are that file's, and the previous content keeps
// playing.
struct SlotStatus {
  enum class Kind { empty, loading, playing, missing, failed } kind = Kind::empty;
  juce::String name;     // of the preset, the card, or the file
  juce::String message;  // what is missing or does not play, and what would be right; empty if all is well
  juce::String
      load_error;   // why the last requested file did not load, so that the slot kept its content; empty: it loaded
  juce::File file;  // where it came from; does not exist if only the session holds it
};

// The state of a cabinet microphone for the window. While a file loads, the previous response keeps playing.
struct MicrophoneStatus {
  enum class Kind { empty, loading, playing, missing } kind = Kind::empty;
  juce::String name;        // the response's
  juce::String message;     // what is missing or unexpected; empty if all is well
  juce::String load_error;  // why the last requested file did not load; empty: it loaded
  juce::File file;          // where it came from; may not exist any more
  MicrophoneSettings settings;
  std::shared_ptr<const dsp::ImpulseResponse> response;  // null: silent
};

// One stage of the list, in its order, for the window.
struct StageStatus {
  enum class Kind { gain, gate, model, cabinet, equaliser, doubler };
  int number = 0;  // as dsp::RackStage
  Kind kind = Kind::model;
  juce::String name;     // of a further stage
  juce::String message;  // why it does not play; empty if all is well
};

struct SnapshotStatus {
  std::array<bool, kSnapshots> filled{};
  int recalled = 0;     // from 1; 0: none
  bool edited = false;  // the sound has changed since
};

}  // namespace coil::plugin
