// Auditions: while the user browses, models play in the active slot and responses in the first microphone, until one is
// kept or the previous sound returns.
#pragma once

#include <juce_core/juce_core.h>

#include <optional>

#include "plugin/chain_editor.h"
#include "plugin/loading.h"

namespace coil::plugin {

// [any thread but the audio thread], without the store's mutex
class Audition {
 public:
  Audition(Store& store, Undo& undo, Loading& loading, ChainEditor& chain_editor, ModelLibrary& library,
           Announcer& announcer)
      : store_(store),
        undo_(undo),
        loading_(loading),
        chain_editor_(chain_editor),
        library_(library),
        announcer_(announcer) {}

  // Plays a model or preset in the active slot, or an impulse response in the first microphone of the cabinet, which is
  // switched on. This becomes an undo step only if it is kept. cancel() brings back what played before the first
  // audition, unless something else was loaded since.
  void play(const juce::File& file);
  juce::File file() const;  // none: no audition
  void keep();
  void cancel();

  // Load a file for good. All auditions that led to it are one undo step.
  void load_file(int slot, const juce::File& file);
  void load_response(int microphone, const juce::File& file);
  // The next (+1) or previous (-1) entry of the library into the active slot; skips files that do not load.
  void load_neighbour(int step);

 private:
  void keep_instead(const juce::File& file);

  struct Heard {
    Session before;
    int slot = 0;
    uint64_t sessions_then = 0;
    juce::File file;
    // The last requests of slot and microphone; other numbers there mean that something else was requested since.
    uint64_t request = 0, microphone_request = 0;
  };

  Store& store_;
  Undo& undo_;
  Loading& loading_;
  ChainEditor& chain_editor_;
  ModelLibrary& library_;
  Announcer& announcer_;
  std::optional<Heard> heard_;  // guarded by the store's mutex
};

}  // namespace coil::plugin
