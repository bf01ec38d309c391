// The plugin's interface to the host; a thin layer over dsp::Rack.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dsp/rack.h"
#include "plugin/background.h"
#include "plugin/history.h"
#include "plugin/learn/learn_input.h"
#include "plugin/learn/learning.h"
#include "plugin/load_meter.h"
#include "plugin/midi_map.h"
#include "plugin/model_library.h"
#include "plugin/moved_parameters.h"
#include "plugin/parameters.h"
#include "plugin/session.h"
#include "plugin/snapshots.h"
#include "plugin/sound_tap.h"
#include "plugin/user_settings.h"

namespace coil::plugin {

// A slot's state for the window. While a file loads, name and file are that file's, and the previous content keeps
// playing.
struct SlotStatus {
  enum class Kind { empty, loading, playing, missing, failed } kind = Kind::empty;
  juce::String name;        // of the preset, the card, or the file
  juce::String message;     // what is missing or does not play, and what would be right; empty if all is well
  juce::String load_error;  // why the last requested file did not load, so that the slot kept its content; empty: it
                            // loaded
  juce::File file;          // where it came from; does not exist if only the session holds it
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
  enum class Kind { gain, gate, model, cabinet, equaliser };
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

// Sends a change message (on the message thread) when a slot, the active slot, the cabinet or the meaning of controls
// changes.
class Processor final : public juce::AudioProcessor,
                        public juce::ChangeBroadcaster,
                        private juce::AudioProcessorParameter::Listener,
                        private juce::AsyncUpdater {
 public:
  Processor();
  ~Processor() override;

  // -- functions for the editor, [message-thread] unless stated otherwise. Loading and settling of models is only
  // requested here. It runs on another thread, in the order of the requests, while the current sound continues.
  Parameters& parameters() { return parameters_; }
  ModelLibrary& library() { return *library_; }
  dsp::RackMeters& meters() { return rack_.meters(); }
  SoundTap& tap() { return tap_; }  // recent input and output, for the spectrum

  int active_slot() const;
  void set_active_slot(int slot);  // the parameters get the values that the slot had when it was last active
  void copy_to_other_slot();
  // How to handle models of another rate: model_default, prefer_steps or resample. Changes the latency.
  void set_rate_mode(dsp::RateMode mode);
  dsp::RateMode rate_mode() const { return rack_.rate_mode(); }
  SlotStatus status(int slot) const;
  std::shared_ptr<const ssm::Model> model(int slot) const;  // null: none
  juce::String notice() const;  // why the host's session could not be opened; empty if all is well
  void dismiss_errors();        // the user has read notice() and the load_error of slots and microphones

  void load_file(int slot,
                 const juce::File& file);  // a model (.safetensors) or user preset (.coil); loads on another thread
  void load_neighbour(int step);  // loads the next (+1) or previous (-1) entry of the library into the active slot;
                                  // skips files that do not load
  void clear(int slot);

  // Plays a file in the active slot while the user browses. It is no undo step until it is kept; cancel_audition()
  // brings back what played before the first of them, unless something else was loaded since.
  void audition(const juce::File& file);
  juce::File auditioned() const;  // none: no audition
  void keep_audition();
  void cancel_audition();

  // Snapshots, from 1 (A) to kSnapshots. Recalling is also a parameter, and heard without a click.
  SnapshotStatus snapshots() const;
  void recall_snapshot(int number);  // an empty one changes nothing
  void store_snapshot(int number);
  void clear_snapshot(int number);

  // What MIDI moves. `target`: a parameter's ID, or "snapshot_a" and so on.
  void learn_midi(const std::string& target);  // from the next message that suits it
  void stop_learning_midi();
  std::string midi_learns() const { return midi_.learns(); }  // empty: nothing
  void forget_midi(const std::string& target);
  void set_midi_programs(MidiPrograms programs);
  MidiSetup midi_setup() const;

  void load_response(int microphone, const juce::File& file);  // WAV, AIFF or FLAC; loads on another thread
  void clear_response(int microphone);
  // `is_step` false: belongs to the undo step of the previous call.
  void set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step = true);
  MicrophoneStatus microphone(int microphone) const;
  // The list of stages. A further stage's power and mix are parameters().further of its number. Adding, moving and
  // removing are undo steps; a usual stage can be moved, but not removed.
  std::vector<StageStatus> stages() const;
  void add_stage(dsp::RigStage stage, int place);     // in front of the stage at that place; loads its files
  void add_stage(const juce::File& file, int place);  // a model, or an impulse response
  void move_stage(int number, int place);             // `place`: among the others
  void remove_stage(int number);
  // A further stage; null: none has this number. [any thread but the audio thread]
  std::shared_ptr<const FurtherStage> further_stage_at(int number) const;
  // Gives it other settings, but no other files. `is_step` false: belongs to the undo step of the previous call.
  void edit_stage(int number, const dsp::RigStage& settings, bool is_step = true);

  juce::File preset_file(
      const juce::String& name) const;  // the file that save_preset() would write; throws Error for an invalid name
  juce::File save_preset(const juce::String& name);  // replaces a preset of this name; the slot gets the name; throws
                                                     // Error

  bool can_undo() const;
  bool can_redo() const;
  void undo();  // while a file loads: cancels that
  void redo();

  // Learning a device. The dry sound is the normal input. The device's output comes in on the side chain, in coil-live
  // on input 2. Learned models play in the slot that was active, until the user chooses something else there. A new
  // learning discards the previous one.
  enum class LearnFrom { playing, test_signal };  // the test signal is played instead of the model
  void start_learning(LearnFrom from);            // throws Error if the host has not prepared the plugin
  enum class CaptureFile { capture, unusable_capture, other };
  // Calls back on the message thread, with what the file says about itself, or why it cannot be used.
  void describe_capture(const juce::File& file, std::function<void(const juce::String& text, CaptureFile kind)> then);
  void start_converting(const juce::File& capture);  // of another program; the model goes into the library and the slot
  void stop_learning();                              // ends the recording; the next call ends the training
  juce::File keep_learned(const juce::String& name);  // saves it to the library in the background; throws Error for an
                                                      // invalid name
  void discard_learned();                             // restores the previous model, unless the learned one was kept
  LearnStatus learn_status() const;                   // [any thread but the audio thread]
  LearnInput& learn_input() { return learn_input_; }
  LearnSettings& learn_settings() { return learn_settings_; }             // for the next learning
  bool is_live() const { return wrapperType == wrapperType_Standalone; }  // coil-live, which has a second input

  // What the user sets once on this machine: the pitch of A4, whether the tuner mutes, and full scale of the interface
  // in dBu, which new instances begin with.
  double a4_hz() const { return a4_hz_; }
  void set_a4_hz(double hz);
  bool tuner_mutes() const { return tuner_mutes_; }
  void set_tuner_mutes(bool mutes);
  void set_input_dbu(float dbu);
  // The level of a tone that arrives at the input: dBFS of a sine, over the last half second. None: it is too soft.
  // Needs a SoundTap::Listening.
  std::optional<float> input_tone_dbfs() const;

  size_t observe(std::span<ssm::LayerActivity> out) const noexcept { return rack_.observe(out); }  // [any thread]
  // The share of a block's time that processing takes, see LoadMeter. `worst`: since reset_load(). [any thread]
  struct Load {
    float median = 0, worst = 0;
  };
  Load load() const noexcept { return {load_.median(), load_.worst()}; }
  void reset_load() noexcept { load_.reset(); }
  // Counted since prepareToPlay(): input samples that counted as 0; restarts of models after a non-finite value. [any
  // thread]
  uint64_t input_faults() const noexcept { return rack_.input_faults(); }
  uint64_t restarts() const noexcept { return rack_.restarts(); }

  // -- juce::AudioProcessor
  const juce::String getName() const override { return "Coil"; }
  bool isBusesLayoutSupported(const BusesLayout& layout) const override;
  void prepareToPlay(double sample_rate_hz, int max_block_frames) override;
  void releaseResources() override;
  void reset() override;
  void processBlock(juce::AudioBuffer<float>& audio, juce::MidiBuffer& midi) override;
  void processBlockBypassed(juce::AudioBuffer<float>& audio, juce::MidiBuffer& midi) override;
  using juce::AudioProcessor::processBlock;
  using juce::AudioProcessor::processBlockBypassed;
  bool supportsDoublePrecisionProcessing() const override {
    return false;
  }  // models use single precision; the host can convert as well as the plugin
  juce::AudioProcessorParameter* getBypassParameter() const override { return parameters_.bypass; }
  bool acceptsMidi() const override { return true; }
  bool producesMidi() const override { return false; }
  double getTailLengthSeconds() const override {
    return further_seconds_ + (parameters_.cabinet_on->get() ? cabinet_seconds_.load() : 0);
  }
  bool hasEditor() const override { return true; }
  juce::AudioProcessorEditor* createEditor() override;
  int getNumPrograms() override { return 1; }  // presets are files, and hosts would not update their list of programs
  int getCurrentProgram() override { return 0; }
  void setCurrentProgram(int) override {}
  const juce::String getProgramName(int) override { return "Coil"; }
  void changeProgramName(int, const juce::String&) override {}
  void getStateInformation(juce::MemoryBlock& state) override;
  void setStateInformation(const void* data, int size) override;

 private:
  struct Slot {
    SlotContent
        content;  // its controls are valid while the slot is inactive; for the active slot, the parameters hold them
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

  // A change of the slots' content. It is requested, prepared without a lock (perhaps for seconds), and committed
  // within microseconds. Anything that changed after the request is newer and is kept: a slot, the active slot, values
  // set by host or user.
  struct Change {
    std::array<std::optional<SlotContent>, dsp::kSlots> slots;  // empty: unchanged. After commit(): the previous
                                                                // content
    std::array<uint64_t, dsp::kSlots> requests{};               // numbers of the slots' requests; 0: undo or redo,
                                                                // which are never outdated
    std::array<bool, dsp::kSlots> anew{};                       // whether to make a new slot_model for the slot's
                                                                // content
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
  struct Made {
    std::array<std::optional<dsp::Rack::Prepared>, dsp::kSlots> slot_models;  // empty: the slot's model continues
    std::array<std::string, dsp::kSlots> problems;                            // why a slot's model does not play
    std::array<uint64_t, dsp::kSlots> versions{};                             // versions of the contents that they were
                                                                              // made for
  };
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
  struct Audition {
    Session before;
    int slot = 0;
    uint64_t sessions_then = 0;
    juce::File file;
    uint64_t request = 0;  // the slot's, if nothing else was requested since
  };
  // Objects that a commit replaced; to be freed without the lock.
  struct Forgotten {
    History::Sessions sessions;
    History history;
  };

  void parameterValueChanged(int, float) override {}
  void parameterGestureChanged(int index, bool starting) override;

  void process(juce::AudioBuffer<float>& audio, const juce::MidiBuffer& midi, bool bypassed) noexcept;
  SignalPair signals_of(const juce::AudioBuffer<float>& audio) const noexcept;
  void copy_parameters(bool bypassed) noexcept;
  void tick();

  // Called on any thread but the audio thread, with mutex_ held. The audio thread does not use the controls while
  // controls_lock_ is held.
  Session current_session() const;
  void keep_controls();  // copies the parameters' values to the active slot
  // Copies the active slot's values to the parameters, except those that changed after the request.
  void show_controls(const Change* change = nullptr);
  Change asked() const;
  Session last_session() const { return going_to_ ? *going_to_ : current_session(); }
  void go_back_or_on(bool back);
  void go_to(Session session);
  uint64_t next_request(int slot);  // cancels what loads into the slot
  bool superseded(const Change& change, size_t slot) const;
  bool moved_since(const Change& change, const juce::AudioProcessorParameter& parameter) const;
  bool commit(Change& change, Made& made, Forgotten& forgotten);  // false: prepare it again
  void follow(const Change& change, dsp::Rack::Prepared& slot_model,
              bool is_new) const;  // values that changed while it was prepared
  void commit_slot(size_t at, Change& change, const Made& made);
  void set_chain(const Change& change);
  void drop_loading_responses();
  // Applies the user's `edit` to the cabinet; returns objects to be freed without the lock.
  Forgotten edit_cabinet(bool is_step, const std::function<void(CabinetContent&)>& edit);

  // The same for the list of stages.
  Forgotten edit_stages(const std::function<void(StageList&)>& edit, bool is_step = true);

  Snapshot current_snapshot() const;
  void use_snapshots(const SnapshotBank& bank);
  void fill_snapshot_table();

  // Without mutex_.
  enum class Keep { at_once, audition };
  uint64_t request_load(int slot, const juce::File& file, Keep keep);
  void edit_snapshots(const std::function<void(SnapshotBank&)>& edit);
  void edit_midi(const std::function<void(MidiSetup&)>& edit);
  void tick_midi();
  // Recalls the snapshot that the parameter names, unless it was recalled already. `yes`: [any thread but the audio
  // thread]
  enum class Wait { no, yes };
  void follow_snapshot(Wait wait) noexcept;
  void finish_recall();  // what the audio thread has left to do [any thread but the audio thread]
  Made make(const Change& change) const;
  enum class Refuse { no, model_that_does_not_play };
  std::string carry_out(Change& change, Refuse refuse = Refuse::no);  // returns why it was refused
  void load_now(int slot, const juce::File& file, Change change);
  void load_response_now(int microphone, const juce::File& file, uint64_t request);
  void change_stages(const std::function<void(StageList&)>& edit, bool is_step = true);
  void add_now(std::shared_ptr<const FurtherStage> stage, int place);
  void play_chain();  // makes the rack play what cabinet_ and stages_ hold

  uint64_t begin_learning();
  std::shared_ptr<Learning> learning() const;
  void set_learning(std::shared_ptr<Learning> learning, uint64_t request);
  void play_learned(uint64_t request, const Learning::Bytes& file);
  void end_learning(bool restore);
  void tick_learning();

  // Without mutex_: notifies the host of the latency at once; host and window get everything else on the message
  // thread.
  enum class By { player, host };
  void tell_of_change(By by);
  void handleAsyncUpdate() override;

  juce::SharedResourcePointer<ModelLibrary> library_;
  juce::SharedResourcePointer<Background> background_;
  Parameters parameters_;
  dsp::Rack rack_;
  SoundTap tap_;
  LoadMeter load_;
  LearnInput learn_input_;
  LearnSettings learn_settings_;
  std::atomic<bool> learns_{false};
  UserSettings user_settings_;
  double a4_hz_ = 440;
  std::atomic<bool> tuner_mutes_{true};

  // Guards the members up to active_controls_. Held for microseconds, and never taken by the audio thread.
  mutable std::mutex mutex_;
  std::array<Slot, dsp::kSlots> slots_;
  int active_slot_ = 0;
  uint64_t requests_ = 0;  // over all slots
  uint64_t switches_ = 0;  // changes of the active slot by the user
  uint64_t sessions_ = 0;  // sessions that the host has set
  Cabinet cabinet_;
  StageList stages_ = usual_stages();
  uint64_t stage_edits_ = 0;     // of stages_, by the user
  uint64_t stages_version_ = 0;  // how often stages_ changed
  History history_;
  std::optional<Session> going_to_;   // the target of the latest undo or redo, until it is reached
  uint64_t steps_ = 0;                // number of undos and redos
  std::vector<float> placed_values_;  // last values set by the plugin itself, for all parameters
  std::vector<uint32_t> gestures_;    // how often the user grabbed and released each parameter
  int open_gestures_ = 0;             // gestures that are running now, over all parameters
  std::optional<Session> before_gestures_;
  std::string notice_;
  juce::MemoryBlock
      unread_state_;  // a session that could not be read; returned to the host until something is loaded here

  Learned learned_;
  std::optional<Audition> audition_;
  SnapshotBank bank_;
  MidiSetup midi_setup_;

  std::mutex chain_mutex_;  // held while stages are made; never taken by the message thread; guards the two below
  uint64_t played_cabinet_ = 0, played_stages_ = 0;
  std::atomic<double> cabinet_seconds_{0}, further_seconds_{0};  // how long they sound on

  juce::SpinLock controls_lock_;  // the audio thread only tries to lock it
  ActiveControls active_controls_;
  MovedParameters moved_;
  SnapshotTable snapshot_table_{parameters_, moved_};  // guarded by controls_lock_
  MidiMap midi_{getParameters(), *parameters_.snapshot, kSnapshots, moved_};
  std::atomic<int> recalled_{0};  // the value of the snapshot parameter that was acted on
  std::atomic<bool> unfinished_recall_{false};

  dsp::ProcessSpec spec_;            // from prepareToPlay(); rate 0: not prepared
  std::atomic<bool> edited_{false};  // whether a change that the host does not know of was made by the user
};

}  // namespace coil::plugin
