// What moves the plugin's knobs from outside: snapshots, MIDI, and the host's automation of snapshots.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "plugin/audition.h"
#include "plugin/chain_editor.h"

namespace coil::plugin {

// [any thread but the audio thread] unless stated otherwise, without the store's mutex
class Remote {
 public:
  Remote(Store& store, Undo& undo, ChainEditor& chain_editor, Audition& audition, ModelLibrary& library,
         Announcer& announcer)
      : store_(store),
        undo_(undo),
        chain_editor_(chain_editor),
        audition_(audition),
        library_(library),
        announcer_(announcer) {}

  // Snapshots, from 1 (A) to kSnapshots. Recalling is also a parameter, and heard without a click.
  void recall_snapshot(int number);  // an empty one changes nothing
  void store_snapshot(int number);
  void clear_snapshot(int number);

  // What MIDI moves. `target`: a parameter's ID, or "snapshot_a" and so on.
  void learn_midi(const std::string& target);  // from the next message that suits it
  void stop_learning_midi();
  std::string midi_learns() const { return store_.midi_map.learns(); }  // empty: nothing
  void forget_midi(const std::string& target);
  void set_midi_programs(MidiPrograms programs);
  MidiSetup midi_setup() const;

  // Recalls the snapshot that the parameter names, unless that was done already. Wait::no: [audio-thread]; if the lock
  // is taken, the next call recalls it.
  enum class Wait { no, yes };
  void follow_snapshot(Wait wait) noexcept;
  void finish_recall();  // does what the audio thread may not do
  void tick();           // from time to time, also while the host plays nothing

 private:
  // Edits a part of the store as an undo step, then calls `use`. Does neither if nothing changes.
  template <typename Part>
  void edit(Part& held, Part Session::*part, auto&& change, auto&& use);
  void edit_snapshots(const std::function<void(SnapshotBank&)>& change);
  void edit_midi(const std::function<void(MidiSetup&)>& change);

  Store& store_;
  Undo& undo_;
  ChainEditor& chain_editor_;
  Audition& audition_;
  ModelLibrary& library_;
  Announcer& announcer_;
  std::atomic<bool> unfinished_recall_{false};
};

}  // namespace coil::plugin
