// Snapshots A to D: settings of one rig that are recalled together, from a click, from MIDI or by the host's
// automation.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <string>

#include "dsp/rack.h"
#include "plugin/cabinet.h"
#include "plugin/moved_parameters.h"
#include "plugin/parameters.h"

namespace coil::plugin {

// Values, not models: all models are loaded already.
struct Snapshot {
  int slot = 0;                           // the active one
  std::map<std::string, float> chain;     // by parameter ID, in their units; see is_of_snapshot()
  std::map<std::string, float> controls;  // of the active slot's model, by name, in their units
  std::array<MicrophoneSettings, kMicrophones> microphones;

  bool operator==(const Snapshot&) const = default;
};

struct SnapshotBank {
  std::array<std::optional<Snapshot>, kSnapshots> all;
  int recalled = 0;  // the last one that was recalled or stored, from 1; 0: none

  bool operator==(const SnapshotBank&) const = default;
  bool empty() const;
};

// "A" to "D", from 1.
juce::String snapshot_letter(int number);

// Whether snapshots hold this parameter: bypass and the interface's full scale are not part of a sound.
bool is_of_snapshot(const std::string& parameter_id);

// What the audio thread needs to recall a snapshot. Filled and used under one lock.
class SnapshotTable {
 public:
  SnapshotTable(Parameters& parameters, MovedParameters& moved) : parameters_(parameters), moved_(moved) {}

  // `models`: of the slots, for the order of their controls; null: none. [any thread but the audio thread]
  void fill(const SnapshotBank& bank, const std::array<const ssm::Model*, dsp::kSlots>& models);

  struct Recalled {
    int slot;
    bool moved_slot;  // the parameters of the controls still belong to the other slot
  };
  // Sets the parameters, or the rack's controls if the snapshot plays another slot than `active_slot`. None: this
  // snapshot is empty. [audio-thread]
  std::optional<Recalled> recall(int number, int active_slot, dsp::RackSettings& rack) const noexcept;

 private:
  struct Value {
    juce::AudioProcessorParameter* parameter;
    float value;  // normalised
  };
  struct Control {
    bool there = false;
    float value = 0, normalised = 0;
  };
  struct Entry {
    bool filled = false;
    int slot = 0, values_count = 0, controls_count = 0;
    std::array<Value, MovedParameters::kMost> values{};
    std::array<Control, dsp::kMaxRackControls> controls{};
  };

  Parameters& parameters_;
  MovedParameters& moved_;
  std::array<Entry, kSnapshots> entries_;
};

}  // namespace coil::plugin
