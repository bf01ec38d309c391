// Loading: every change of what plays. It is requested, prepared on another
// thread, and committed at once.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "plugin/announcer.h"
#include "plugin/background.h"
#include "plugin/model_library.h"
#include "plugin/store.h"
#include "plugin/undo.h"

namespace coil::plugin {

// [message-thread] unless stated otherwise. Loading and settling of models is only requested. It runs on another
// thread, in the order of the requests, while the current sound continues.
class Loading {
 public:
  // A change of the slots' content. It is requested, prepared without a lock (perhaps for seconds), and committed
  // within microseconds. Anything that changed after the request is newer and is kept: a slot, the active slot, values
  // set by host or user.
  struct Change {
    std::array<std::optional<SlotContent>, dsp::kSlots> slots;  // empty: unchanged. After commit(): the previous
                                                                // content
    std::array<uint64_t, dsp::kSlots> requests{};               // numbers of the slots' requests; 0: undo or redo,
                                                                // which are never outdated
    std::array<bool, dsp::kSlots> anew{};                       // whether to make a new slot_model
                                                                // for the slot's content
    std::optional<int> active_slot;
    std::optional<dsp::RateMode> rate_mode;
    std::map<std::string, float> chain;
    std::optional<CabinetContent> cabinet;  // empty: unchanged. After commit(): the previous content
    std::optional<StageList> stages;        // the same
    std::optional<SnapshotBank> snapshots;  // empty: unchanged
    std::optional<MidiSetup> midi;          // empty: unchanged
    juce::File asked_file;                  // of a load
    bool goes_on = false;                   // do not restart a slot's model that already plays
    bool can_be_undone = true;
    bool reads_session = false;

    // Counters at the time of the request.
    uint64_t requests_then = 0, sessions_then = 0, switches_then = 0, edits_then = 0, stage_edits_then = 0;
    std::vector<float> values_then;  // of all parameters
    std::vector<uint32_t> gestures_then;

    bool is_void() const {
      return !slots[0] && !slots[1] && !active_slot && !rate_mode && !anew[0] && !anew[1] && !cabinet && !stages &&
             !snapshots;
    }
  };
  // Objects that a commit replaced; to be freed without the mutex.
  struct Forgotten {
    History::Sessions sessions;
    History history;
  };

  Loading(Store& store, Undo& undo, ModelLibrary& library, Background& background, Announcer& announcer)
      : store_(store), undo_(undo), library_(library), background_(background), announcer_(announcer) {}
  ~Loading() { leave(); }
  void leave() { background_.leave(this); }  // drops what is not done yet

  // -- slots
  enum class Keep { at_once, audition };
  // A model (.safetensors) or user preset (.coil). Returns the number of the request.
  uint64_t load_file(int slot, const juce::File& file, Keep keep = Keep::at_once);
  void clear(int slot);
  void copy_to_other_slot();
  void set_active_slot(int slot);
  void set_rate_mode(dsp::RateMode mode);

  // -- the cabinet
  void load_response(int microphone, const juce::File& file);
  void clear_response(int microphone);
  // `is_step` false: belongs to the undo step of the previous call.
  void set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step);

  // -- the list of stages; see Processor
  void add_stage(dsp::RigStage stage, int place);
  void add_stage(const juce::File& file, int place);
  void move_stage(int number, int place);
  void remove_stage(int number);

  void undo();  // while a file loads: cancels that
  void redo();

  // -- of the host
  void open(std::span<const std::byte> state);  // a session or a rig; takes effect before it returns
  // The rack was prepared for this rate; `problem`: why it was not.
  void follow_spec(double sample_rate_hz, const std::string& problem);
  double tail_seconds() const;  // how long cabinets sound on [any thread]

  // -- for other parts of the plugin [any thread but the audio thread]; the
  // first three with the store's mutex
  Change asked() const;
  void go_to(Session session);  // by undo, redo, or the end of an audition
  // Applies the user's `edit` to the cabinet; returns objects to be freed without the mutex.
  Forgotten edit_cabinet(bool is_step, const std::function<void(CabinetContent&)>& edit);
  enum class Refuse { no, model_that_does_not_play };
  std::string carry_out(Change& change,
                        Refuse refuse = Refuse::no);  // returns why it was refused
  void follow_cabinet();                              // makes the rack play an edited one

 private:
  struct Made {
    std::array<std::optional<dsp::Rack::Prepared>, dsp::kSlots> slot_models;  // empty: the slot's model continues
    std::array<std::string, dsp::kSlots> problems;                            // why a slot's model does not play
    std::array<uint64_t, dsp::kSlots> versions{};                             // versions of the contents
                                                                              // that they were made for
  };

  // With the mutex.
  void go_back_or_on(bool back);
  bool superseded(const Change& change, size_t slot) const;
  bool moved_since(const Change& change, const juce::AudioProcessorParameter& parameter) const;
  bool commit(Change& change, Made& made,
              Forgotten& forgotten);  // false: prepare it again
  // Values that changed while the model was prepared.
  void follow(const Change& change, dsp::Rack::Prepared& slot_model, bool is_new) const;
  void commit_slot(size_t at, Change& change, const Made& made);
  void set_chain(const Change& change);
  Forgotten edit_stages(const std::function<void(StageList&)>& edit);  // as edit_cabinet()

  // Without the mutex.
  Made make(const Change& change) const;
  void load_now(int slot, const juce::File& file, Change change);
  void load_response_now(int microphone, const juce::File& file, uint64_t request);
  void change_stages(const std::function<void(StageList&)>& edit);
  void add_now(std::shared_ptr<const FurtherStage> stage, int place);
  void play_chain();  // makes the rack play the store's cabinet and stages

  Store& store_;
  Undo& undo_;
  ModelLibrary& library_;
  Background& background_;
  Announcer& announcer_;

  std::mutex chain_mutex_;  // held while stages are made; never taken by the
                            // message thread; guards the two below
  uint64_t played_cabinet_ = 0, played_stages_ = 0;
  std::atomic<double> cabinet_seconds_{0}, further_seconds_{0};
};

}  // namespace coil::plugin
