// The store of the plugin's settings: what slots, cabinet, list of stages, snapshots and MIDI hold, and what loads into
// them.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dsp/rack.h"
#include "plugin/midi_map.h"
#include "plugin/moved_parameters.h"
#include "plugin/parameters.h"
#include "plugin/session.h"
#include "plugin/snapshots.h"
#include "plugin/status.h"

namespace coil::plugin {

// The parameters' values belong to the store as well: the active slot's controls exist only there.
struct Store {
  struct Slot {
    // Its controls are valid while the slot is inactive; for the active slot, the parameters hold them.
    SlotContent content;
    SlotStatus::Kind kind = SlotStatus::Kind::empty;  // state of the content, never `loading`
    std::string message;
    std::string load_error;
    juce::File loading_file;  // empty: nothing loads
    // The last request, whether or not it loaded; empty: something else has changed since.
    juce::File asked_file;
    uint64_t request = 0;    // number of the last request
    uint64_t committed = 0;  // number of the request that produced the content; 0 for undo and redo
    uint64_t version = 0;    // how often the content was replaced
  };
  struct Cabinet {
    CabinetContent content;
    std::array<juce::File, kMicrophones> loading_files;  // empty: nothing loads
    std::array<std::string, kMicrophones> load_errors;
    std::array<uint64_t, kMicrophones> requests{};  // numbers of the last requests
    uint64_t edits = 0;                             // edits by the user
    uint64_t version = 0;                           // how often the content changed
  };
  // Maps the parameters' values to the active slot's controls.
  struct ActiveControls {
    int slot = 0, count = 0;
    bool detached = false;  // a snapshot plays the other slot, and the parameters follow later
    std::array<double, dsp::kMaxRackControls> min{}, range{};
  };

  Store(const juce::AudioProcessor& processor, Parameters& parameters, dsp::Rack& rack);

  // -- for the window; without the mutex [any thread but the audio thread]
  int active() const;
  SlotStatus status(int slot) const;
  MicrophoneStatus microphone(int microphone) const;
  std::vector<StageStatus> stage_list() const;
  std::shared_ptr<const FurtherStage> further_stage_at(int number) const;  // null: none
  SnapshotStatus snapshot_list() const;
  juce::String notice_text() const;
  void dismiss_errors();
  void set_error(int slot, const std::string& error);  // of loading
  void set_response_error(int microphone, const std::string& error);

  // -- with the mutex [any thread but the audio thread]. The audio thread does not use the controls while controls_lock
  // is held.
  Session session() const;
  Snapshot snapshot() const;  // of what plays now
  // The user chooses a slot; its controls get these values.
  void activate(int slot, const std::map<std::string, float>& controls = {});
  void keep_controls();  // copies the parameters' values to the active slot
  // Copies the active slot's values to the parameters, except to those that `stays` names.
  void show_controls(const std::function<bool(const juce::AudioProcessorParameter&)>& stays = {});
  uint64_t next_request(int slot);  // which cancels what loads into the slot
  void drop_loading_responses();
  void follow_bank();  // the snapshot parameter shows what was recalled
  void fill_snapshot_table();
  bool loads() const;  // whether a file loads
  void was_loaded();   // the user has loaded something: a session that could not be read is dropped

  // The active slot's controls, as the parameters say. [audio-thread]
  void copy_controls() noexcept;

  const juce::AudioProcessor& processor;
  Parameters& parameters;
  dsp::Rack& rack;

  // Guards the members up to unread_state. Held for microseconds, and never taken by the audio thread.
  mutable std::mutex mutex;
  std::array<Slot, dsp::kSlots> slots;
  int active_slot = 0;
  uint64_t requests = 0;  // over all slots
  uint64_t switches = 0;  // changes of the active slot by the user
  uint64_t sessions = 0;  // sessions that the host has set
  Cabinet cabinet;
  StageList stages = usual_stages();
  uint64_t stage_edits = 0;          // of stages, by the user
  uint64_t stages_version = 0;       // how often stages changed
  std::vector<float> placed_values;  // last values set by the plugin itself, for all parameters
  SnapshotBank bank;
  MidiSetup midi;
  double sample_rate_hz = 0;  // of the host; 0: it has not prepared the plugin
  std::string notice;
  // A session that could not be read; returned to the host until something is loaded here.
  juce::MemoryBlock unread_state;

  juce::SpinLock controls_lock;  // the audio thread only tries to lock it
  ActiveControls active_controls;
  MovedParameters moved;
  SnapshotTable snapshot_table{parameters, moved};  // guarded by controls_lock
  MidiMap midi_map{processor.getParameters(), *parameters.snapshot, kSnapshots, moved};
  std::atomic<int> recalled{0};  // the last value of the snapshot parameter that was acted on
};

}  // namespace coil::plugin
