// Changes of what plays: they are requested, prepared on another thread, and committed at once.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plugin/chain_player.h"
#include "plugin/history.h"
#include "plugin/store.h"
#include "plugin/undo.h"

namespace coil::plugin {

// Anything that changed after the request is newer and is kept: a slot, the active slot, values set by host or user.
struct Change {
  // Empty: unchanged. After the commit: the previous content.
  std::array<std::optional<SlotContent>, dsp::kSlots> slots;
  std::optional<CabinetContent> cabinet;
  std::optional<StageList> stages;
  // Numbers of the slots' requests; 0: undo or redo, which are never outdated.
  std::array<uint64_t, dsp::kSlots> requests{};
  std::array<bool, dsp::kSlots> anew{};  // whether the slot's content begins anew
  std::map<std::string, float> chain;
  // Empty: unchanged.
  std::optional<int> active_slot;
  std::optional<dsp::RateMode> rate_mode;
  std::optional<SnapshotBank> snapshots;
  std::optional<MidiSetup> midi;
  juce::File asked_file;  // of a load
  bool goes_on = false;   // a slot's model that already plays is not restarted
  bool can_be_undone = true;
  bool reads_session = false;

  // Counters at the time of the request.
  uint64_t requests_then = 0, sessions_then = 0, switches_then = 0, edits_then = 0, stage_edits_then = 0;
  std::vector<float> values_then;  // of all parameters
  std::vector<uint32_t> gestures_then;

  void become(Session session);  // requests everything that the session holds
  bool is_void() const;
};

// [any thread but the audio thread]
class Changes {
 public:
  Changes(Store& store, Undo& undo, ChainPlayer& player) : store_(store), undo_(undo), player_(player) {}

  // With the store's mutex.
  Change asked() const;                                      // a change that was requested now
  bool superseded(const Change& change, size_t slot) const;  // something newer was loaded or asked for

  enum class Refuse { no, model_that_does_not_play };
  // Prepares the change without a lock, perhaps for seconds, and commits it within microseconds. Returns why it was
  // refused. Without the store's mutex.
  std::string carry_out(Change& change, Refuse refuse = Refuse::no);

 private:
  struct Made {
    std::array<std::optional<dsp::Rack::Prepared>, dsp::kSlots> slot_models;  // empty: the slot's model continues
    std::array<std::string, dsp::kSlots> problems;                            // why a slot's model does not play
    std::array<uint64_t, dsp::kSlots> versions{};                             // of the contents that they were made for
  };
  // Objects that a commit replaced; to be freed without the mutex.
  struct Forgotten {
    History::Sessions sessions;
    History history;
  };

  Made make(const Change& change) const;  // without the mutex

  // With the mutex.
  bool moved_since(const Change& change, const juce::AudioProcessorParameter& parameter) const;
  bool drop_outdated(Change& change, const Made& made) const;
  bool commit(Change& change, Made& made, Forgotten& forgotten);  // false: prepare it again
  // Values that changed while the model was prepared.
  void follow(const Change& change, dsp::Rack::Prepared& slot_model, bool is_new) const;
  void commit_slot(size_t at, Change& change, const Made& made);
  void commit_chain(Change& change);
  void set_values(const Change& change);

  Store& store_;
  Undo& undo_;
  ChainPlayer& player_;
};

}  // namespace coil::plugin
