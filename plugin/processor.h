// The plugin as a host sees it: thin over dsp::Rack.
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
#include "plugin/model_library.h"
#include "plugin/parameters.h"
#include "plugin/session.h"
#include "plugin/sound_tap.h"

namespace coil::plugin {

// What the window says of a slot. While a file loads, name and file are that file's; what the slot had plays on.
struct SlotStatus {
  enum class Kind { empty, loading, playing, missing, failed } kind = Kind::empty;
  juce::String name;     // the preset's, the card's, or the file's
  juce::String message;  // what of it is missing or does not play here, and what would be right; empty when all is well
  juce::String load_error;  // why the file that was asked for last did not load, so that the slot kept what it had;
                            // empty: it did
  juce::File file;          // where it came from; does not exist when the session alone holds it
};

// What the window says of a microphone of the cabinet. While a file loads, what was there plays on.
struct MicrophoneStatus {
  enum class Kind { empty, loading, playing, missing } kind = Kind::empty;
  juce::String name;        // the response's
  juce::String message;     // what of it is missing or not as expected; empty when all is well
  juce::String load_error;  // why the file that was asked for last did not load; empty: it did
  juce::File file;          // where it came from; may not exist any more
  MicrophoneSettings settings;
  std::shared_ptr<const dsp::ImpulseResponse> response;  // null: nothing plays here
};

// Sends a change message (on the message thread) whenever a slot, the active slot, the cabinet or the controls' meaning
// changed.
class Processor final : public juce::AudioProcessor,
                        public juce::ChangeBroadcaster,
                        private juce::AudioProcessorParameter::Listener,
                        private juce::AsyncUpdater {
 public:
  Processor();
  ~Processor() override;

  // -- what the editor uses, all [message-thread] unless told. What needs a model to be read or to settle is asked for
  // here and done on another thread, in the order in which it was asked for; what plays plays on meanwhile.
  Parameters& parameters() { return parameters_; }
  ModelLibrary& library() { return *library_; }
  dsp::RackMeters& meters() { return rack_.meters(); }
  SoundTap& tap() { return tap_; }  // input and output of late, for the spectrum

  int active_slot() const;
  void set_active_slot(int slot);  // the parameters take the values that the slot had when it was left
  void copy_to_other_slot();
  // How models meet a rate that is not theirs: model_default, prefer_steps or resample. The latency follows.
  void set_rate_mode(dsp::RateMode mode);
  dsp::RateMode rate_mode() const { return rack_.rate_mode(); }
  SlotStatus status(int slot) const;
  std::shared_ptr<const ssm::Model> model(int slot) const;  // null: none plays
  juce::String notice() const;  // why the host's session could not be opened; empty when all is well
  void dismiss_errors();        // notice() and load_error of slots and microphones were read

  void load_file(int slot,
                 const juce::File& file);  // model (.safetensors) or user preset (.coil); loads on another thread
  void load_neighbour(
      int step);  // next (+1) or previous (-1) in the library, in the active slot; also past files that do not load
  void clear(int slot);

  void load_response(int microphone, const juce::File& file);  // WAV, AIFF or FLAC; loads on another thread
  void clear_response(int microphone);
  // `is_step` false: goes on with the step for undo that the call before began.
  void set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step = true);
  MicrophoneStatus microphone(int microphone) const;
  juce::File preset_file(
      const juce::String& name) const;  // where save_preset() puts it; throws Error for a name that cannot be one
  juce::File save_preset(const juce::String& name);  // over one of that name; the slot takes the name; throws Error

  bool can_undo() const;
  bool can_redo() const;
  void undo();  // while a file loads: drops that
  void redo();

  // Learning a device: the dry sound comes in as ever, what the device makes of it on the side chain; in coil-live on
  // the second input. What is learned is heard in the slot that was active, until the player chooses something else
  // there. One learning at a time: a new one discards that before.
  enum class LearnFrom { playing, test_signal };  // the latter is played instead of the model
  void start_learning(LearnFrom from);            // throws Error before the host has prepared the plugin
  // Calls back on the message thread: what the file says of itself; or, where it is no capture, why.
  void describe_capture(const juce::File& file, std::function<void(const juce::String& text, bool is_one)> then);
  void start_converting(const juce::File& capture);  // of another program; the model goes into the library and the slot
  void stop_learning();                              // the recording first; asked again, the training
  juce::File keep_learned(const juce::String& name);  // into the library, soon; throws Error for a name that cannot be
  void discard_learned();                             // what played before plays again, unless it was kept
  LearnStatus learn_status() const;                   // [any thread but the audio thread]
  LearnInput& learn_input() { return learn_input_; }
  LearnSettings& learn_settings() { return learn_settings_; }             // of the next one
  bool is_live() const { return wrapperType == wrapperType_Standalone; }  // coil-live, which has a second input

  size_t observe(std::span<ssm::LayerActivity> out) const noexcept { return rack_.observe(out); }  // [any thread]
  // Share of a block's time that processing took: mean of late, and worst since the last call of reset_load(). [any
  // thread]
  struct Load {
    float mean = 0, worst = 0;
  };
  Load load() const noexcept { return {load_.mean(), load_.worst()}; }
  void reset_load() noexcept { load_.reset(); }
  // Since prepareToPlay(): samples that counted as 0; models that began anew after a value of theirs was not finite.
  // [any thread]
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
  }  // models compute in single precision: a host converts as well as we could
  juce::AudioProcessorParameter* getBypassParameter() const override { return parameters_.bypass; }
  bool acceptsMidi() const override { return true; }
  bool producesMidi() const override { return false; }
  double getTailLengthSeconds() const override { return parameters_.cabinet_on->get() ? tail_seconds_.load() : 0; }
  bool hasEditor() const override { return true; }
  juce::AudioProcessorEditor* createEditor() override;
  int getNumPrograms() override { return 1; }  // presets are files, which hosts would not list anew
  int getCurrentProgram() override { return 0; }
  void setCurrentProgram(int) override {}
  const juce::String getProgramName(int) override { return "Coil"; }
  void changeProgramName(int, const juce::String&) override {}
  void getStateInformation(juce::MemoryBlock& state) override;
  void setStateInformation(const void* data, int size) override;

 private:
  struct Slot {
    SlotContent
        content;  // its controls are those of when the slot was left; while it is active, the parameters hold them
    SlotStatus::Kind kind = SlotStatus::Kind::empty;  // of the content: never loading
    std::string message;
    std::string load_error;
    juce::File loading_file;  // none: nothing loads
    // What was asked for last, whether or not it loaded; none: something else has changed since.
    juce::File asked_file;
    uint64_t request = 0;    // the number of what was asked for last
    uint64_t committed = 0;  // of what the content came by; undo and redo have none
    uint64_t version = 0;    // how often the content was changed for another
  };
  struct Cabinet {
    CabinetContent content;
    std::array<juce::File, kMicrophones> loading_files;  // none: nothing loads
    std::array<std::string, kMicrophones> load_errors;
    std::array<uint64_t, kMicrophones> requests{};  // the numbers of what was asked for last
    uint64_t edits = 0;                             // by the player
    uint64_t version = 0;                           // how often the content changed
  };
  // How the parameters' values reach the active slot's controls.
  struct ActiveControls {
    int slot = 0, count = 0;
    std::array<double, dsp::kMaxRackControls> min{}, range{};
  };

  // A change of what the slots hold. It is asked for, made with no lock held, which may take seconds, and committed
  // within microseconds. What has moved since it was asked for is newer and stays: a slot, the active slot, what host
  // or player have set.
  struct Change {
    std::array<std::optional<SlotContent>, dsp::kSlots> slots;  // none: stays. After commit(): what was there before
    std::array<uint64_t, dsp::kSlots> requests{};               // the slot's; 0: undo or redo, of which each counts
    std::array<bool, dsp::kSlots> anew{};                       // a slot_model for what the slot holds
    std::optional<int> active_slot;
    std::optional<dsp::RateMode> rate_mode;
    std::map<std::string, float> chain;
    std::optional<CabinetContent> cabinet;  // none: stays. After commit(): what was there before
    juce::File asked_file;                  // of a load
    bool goes_on = false;                   // where a slot's model plays already, it is not begun anew
    bool can_be_undone = true;
    bool reads_session = false;

    // When it was asked for.
    uint64_t requests_then = 0, sessions_then = 0, switches_then = 0, edits_then = 0;
    std::vector<float> values_then;  // of all parameters
    std::vector<uint32_t> gestures_then;

    bool is_void() const {
      return !slots[0] && !slots[1] && !active_slot && !rate_mode && !anew[0] && !anew[1] && !cabinet;
    }
  };
  struct Made {
    std::array<std::optional<dsp::Rack::Prepared>, dsp::kSlots> slot_models;  // none: goes on as it is
    std::array<std::string, dsp::kSlots> problems;                            // why a slot's model does not play
    std::array<uint64_t, dsp::kSlots> versions{};                             // of the contents that they were made for
  };
  // What is learned, and where it is heard.
  struct Learned {
    std::shared_ptr<Learning> learning;
    uint64_t request = 0;  // that the slot has while nothing else is asked for
    int slot = 0;
    std::shared_ptr<const LoadedModel> heard;   // in the slot now; at first what was there
    std::shared_ptr<const LoadedModel> coming;  // is about to be
    SlotContent before;
    bool plays = false;   // a learned model is in the slot
    bool loaded = false;  // what was kept
    std::string name;     // a converted capture's
  };
  // What no longer counts after a commit, to be freed without the lock.
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

  // All but the audio thread, with mutex_ held; the audio thread leaves the controls alone while controls_lock_ is
  // held.
  Session current_session() const;
  void keep_controls();  // what the parameters say, into the active slot
  // What the active slot says, into the parameters, but for those that have moved since the change was asked for.
  void show_controls(const Change* change = nullptr);
  Change asked() const;
  Session last_session() const { return going_to_ ? *going_to_ : current_session(); }
  void go_back_or_on(bool back);
  uint64_t next_request(int slot);  // what loads into the slot is dropped
  bool superseded(const Change& change, size_t slot) const;
  bool moved_since(const Change& change, const juce::AudioProcessorParameter& parameter) const;
  bool commit(Change& change, Made& made, Forgotten& forgotten);  // false: make it again
  void follow(const Change& change, dsp::Rack::Prepared& slot_model,
              bool is_new) const;  // what moved while it was made
  void commit_slot(size_t at, Change& change, const Made& made);
  void set_chain(const Change& change);
  void drop_loading_responses();
  // What `edit` makes of the cabinet, as the player's wish; returns what is to be freed without the lock.
  Forgotten edit_cabinet(bool is_step, const std::function<void(CabinetContent&)>& edit);

  // Without mutex_.
  Made make(const Change& change) const;
  enum class Refuse { no, model_that_does_not_play };
  std::string carry_out(Change& change, Refuse refuse = Refuse::no);  // returns why it was refused
  void load_now(int slot, const juce::File& file, Change change);
  void load_response_now(int microphone, const juce::File& file, uint64_t request);
  void play_cabinet();  // brings the rack up to what cabinet_ holds

  uint64_t begin_learning();
  std::shared_ptr<Learning> learning() const;
  void set_learning(std::shared_ptr<Learning> learning, uint64_t request);
  void play_learned(uint64_t request, const Learning::Bytes& file);
  void end_learning(bool restore);
  void tick_learning();

  // Without mutex_: the host hears of the latency at once; of the rest on the message thread, and so does the window.
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

  // Guards what follows, up to active_controls_; held for microseconds, and never taken by the audio thread.
  mutable std::mutex mutex_;
  std::array<Slot, dsp::kSlots> slots_;
  int active_slot_ = 0;
  uint64_t requests_ = 0;  // in all slots
  uint64_t switches_ = 0;  // from slot to slot by the player
  uint64_t sessions_ = 0;  // that the host has handed over
  Cabinet cabinet_;
  History history_;
  std::optional<Session> going_to_;   // what the latest undo or redo leads to, until it is there
  uint64_t steps_ = 0;                // undo and redo
  std::vector<float> placed_values_;  // of all parameters, where it was not host or player who set them last
  std::vector<uint32_t> gestures_;    // how often the player took and let go each parameter
  int open_gestures_ = 0;             // by player or host, of all parameters
  std::optional<Session> before_gestures_;
  std::string notice_;
  juce::MemoryBlock
      unread_state_;  // a session that could not be read: given back to the host until something is loaded here

  Learned learned_;

  std::mutex tail_mutex_;  // held while a tail is made; never taken by the message thread
  uint64_t played_cabinet_ = 0;
  std::atomic<double> tail_seconds_{0};

  juce::SpinLock controls_lock_;  // the audio thread only tries it
  ActiveControls active_controls_;

  dsp::ProcessSpec spec_;               // of prepareToPlay(); a rate of 0: not prepared
  std::atomic<int> asked_program_{-1};  // by MIDI
  std::atomic<bool> edited_{false};     // a change that the host has not heard of is the player's
};

}  // namespace coil::plugin
