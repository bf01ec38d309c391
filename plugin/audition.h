// Auditions: models play in the active slot while the user browses, until one is kept or the previous sound returns.
#pragma once

#include <juce_core/juce_core.h>

#include <optional>

#include "plugin/loading.h"

namespace coil::plugin {

// [any thread but the audio thread], without the store's mutex
class Audition {
 public:
  Audition(Store& store, Undo& undo, Loading& loading, ModelLibrary& library, Announcer& announcer)
      : store_(store), undo_(undo), loading_(loading), library_(library), announcer_(announcer) {}

  // Plays a file in the active slot. This becomes an undo step only if it is kept. cancel() brings back what played
  // before the first audition, unless something else was loaded since.
  void play(const juce::File& file);
  juce::File file() const;  // none: no audition
  void keep();
  void cancel();

  // Loads a file for good, which keeps an audition.
  void load_file(int slot, const juce::File& file);
  // The next (+1) or previous (-1) entry of the library into the active slot; skips files that do not load.
  void load_neighbour(int step);

 private:
  struct Heard {
    Session before;
    int slot = 0;
    uint64_t sessions_then = 0;
    juce::File file;
    uint64_t request = 0;  // the slot's, if nothing else was requested since
  };

  Store& store_;
  Undo& undo_;
  Loading& loading_;
  ModelLibrary& library_;
  Announcer& announcer_;
  std::optional<Heard> heard_;  // guarded by the store's mutex
};

}  // namespace coil::plugin
