// The host's adapter: connects the host's calls to the rack, and the window's calls to the parts of the plugin.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dsp/rack.h"
#include "plugin/announcer.h"
#include "plugin/audition.h"
#include "plugin/background.h"
#include "plugin/chain_editor.h"
#include "plugin/chain_player.h"
#include "plugin/changes.h"
#include "plugin/learner.h"
#include "plugin/load_meter.h"
#include "plugin/loading.h"
#include "plugin/model_library.h"
#include "plugin/parameters.h"
#include "plugin/preset.h"
#include "plugin/remote.h"
#include "plugin/sound_tap.h"
#include "plugin/status.h"
#include "plugin/store.h"
#include "plugin/undo.h"
#include "plugin/user_settings.h"

namespace coil::plugin {

// Sends a change message (on the message thread) when a slot, the active slot, the cabinet, the list of stages or the
// meaning of controls changes.
class Processor final : public juce::AudioProcessor,
                        public juce::ChangeBroadcaster,
                        private juce::AudioProcessorParameter::Listener,
                        private juce::AsyncUpdater,
                        private Announcer {
 public:
  Processor();
  ~Processor() override;

  // -- functions for the editor, [message-thread] unless stated otherwise.
  // Loading and settling of models is only requested here. It runs on another thread, in the order of the requests,
  // while the current sound continues.
  Parameters& parameters() { return parameters_; }
  ModelLibrary& library() { return *library_; }
  dsp::RackMeters& meters() { return rack_.meters(); }
  SoundTap& tap() { return tap_; }  // recent input and output, for the spectrum

  int active_slot() const { return store_.active(); }
  void set_active_slot(int slot) {
    audition_.keep();
    loading_.set_active_slot(slot);
  }  // the parameters get the values that the slot had when it was last active
  void copy_to_other_slot() { loading_.copy_to_other_slot(); }
  // How to handle models of another rate: model_default, prefer_steps or resample. Changes the latency.
  void set_rate_mode(dsp::RateMode mode) { loading_.set_rate_mode(mode); }
  dsp::RateMode rate_mode() const { return rack_.rate_mode(); }
  SlotStatus status(int slot) const { return store_.status(slot); }
  std::shared_ptr<const ssm::Model> model(int slot) const { return rack_.model(slot); }  // null: none
  // Why the host's session could not be opened; empty if all is well.
  juce::String notice() const { return store_.notice_text(); }
  void dismiss_errors();  // the user has read notice() and the load_error of slots and microphones

  // A model (.safetensors) or user preset (.coil); loads on another thread.
  void load_file(int slot, const juce::File& file) { audition_.load_file(slot, file); }
  void load_neighbour(int step) { audition_.load_neighbour(step); }  // see Audition
  void clear(int slot) { loading_.clear(slot); }

  // See Audition.
  void audition(const juce::File& file) { audition_.play(file); }
  juce::File auditioned() const { return audition_.file(); }
  void keep_audition() { audition_.keep(); }
  void cancel_audition() { audition_.cancel(); }

  // See Remote.
  SnapshotStatus snapshots() const { return store_.snapshot_list(); }
  void recall_snapshot(int number) { remote_.recall_snapshot(number); }
  void store_snapshot(int number) { remote_.store_snapshot(number); }
  void clear_snapshot(int number) { remote_.clear_snapshot(number); }
  void learn_midi(const std::string& target) { remote_.learn_midi(target); }
  void stop_learning_midi() { remote_.stop_learning_midi(); }
  std::string midi_learns() const { return remote_.midi_learns(); }
  void forget_midi(const std::string& target) { remote_.forget_midi(target); }
  void set_midi_programs(MidiPrograms programs) { remote_.set_midi_programs(programs); }
  MidiSetup midi_setup() const { return remote_.midi_setup(); }

  // WAV, AIFF or FLAC; loads on another thread.
  void load_response(int microphone, const juce::File& file) { audition_.load_response(microphone, file); }
  void clear_response(int microphone) { chain_editor_.clear_response(microphone); }
  // `is_step` false: belongs to the undo step of the previous call.
  void set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step = true) {
    chain_editor_.set_microphone(microphone, settings, is_step);
  }
  MicrophoneStatus microphone(int microphone) const { return store_.microphone(microphone); }
  // The list of stages. A further stage's power and mix are parameters().further of its number. Adding, moving and
  // removing are undo steps; a usual stage can be moved, but not removed.
  std::vector<StageStatus> stages() const { return store_.stage_list(); }
  // In front of the stage at that place; loads its files.
  void add_stage(dsp::RigStage stage, int place) { chain_editor_.add_stage(std::move(stage), place); }
  void add_stage(const juce::File& file, int place) { chain_editor_.add_stage(file, place); }  // a model, or a response
  void move_stage(int number, int place) { chain_editor_.move_stage(number, place); }  // `place`: among the others
  void remove_stage(int number) { chain_editor_.remove_stage(number); }
  // A further stage; null: none has this number. [any thread but the audio thread]
  std::shared_ptr<const FurtherStage> further_stage_at(int number) const { return store_.further_stage_at(number); }
  // Gives it other settings, but no other files. `is_step` false: belongs to the undo step of the previous call.
  void edit_stage(int number, const dsp::RigStage& settings, bool is_step = true) {
    chain_editor_.edit_stage(number, settings, is_step);
  }

  // See preset.h.
  juce::File preset_file(const juce::String& name) const { return plugin::preset_file(name, *library_); }
  juce::File save_preset(const juce::String& name);

  bool can_undo() const;
  bool can_redo() const;
  void undo();  // while a file loads: cancels that; ends an audition
  void redo();

  // See Learner.
  using LearnFrom = Learner::LearnFrom;
  using CaptureFile = Learner::CaptureFile;
  void start_learning(LearnFrom from) { learner_.start_learning(from); }
  void describe_capture(const juce::File& file, std::function<void(const juce::String& text, CaptureFile kind)> then) {
    learner_.describe_capture(file, std::move(then));
  }
  void start_converting(const juce::File& capture) { learner_.start_converting(capture); }
  void stop_learning() { learner_.stop_learning(); }
  juce::File keep_learned(const juce::String& name) { return learner_.keep_learned(name); }
  void discard_learned() { learner_.discard_learned(); }
  LearnStatus learn_status() const { return learner_.learn_status(); }
  LearnInput& learn_input() { return learner_.input(); }
  LearnSettings& learn_settings() { return learner_.settings(); }
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
  double getTailLengthSeconds() const override { return chain_player_.tail_seconds(); }
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
  void parameterValueChanged(int, float) override {}
  void parameterGestureChanged(int index, bool starting) override;

  void process(juce::AudioBuffer<float>& audio, const juce::MidiBuffer& midi, bool bypassed) noexcept;
  SignalPair signals_of(const juce::AudioBuffer<float>& audio) const noexcept;
  void copy_parameters(bool bypassed) noexcept;
  void tick();

  void tell_of_change(By by) override;
  void tell_window() override { sendChangeMessage(); }
  void handleAsyncUpdate() override;

  juce::SharedResourcePointer<ModelLibrary> library_;
  juce::SharedResourcePointer<Background> background_;
  Parameters parameters_;
  dsp::Rack rack_;
  SoundTap tap_;
  LoadMeter load_;
  UserSettings user_settings_;
  double a4_hz_ = 440;
  std::atomic<bool> tuner_mutes_{true};

  Store store_{*this, parameters_, rack_};
  Undo undo_{store_};
  ChainPlayer chain_player_{store_};
  ChainEditor chain_editor_{store_, undo_, chain_player_, *library_, *background_, *this};
  Changes changes_{store_, undo_, chain_player_};
  Loading loading_{store_, undo_, changes_, *library_, *background_, *this};
  Audition audition_{store_, undo_, loading_, chain_editor_, *library_, *this};
  Remote remote_{store_, undo_, chain_editor_, audition_, *library_, *this};
  Learner learner_{store_, changes_, audition_, *library_, *background_, *this};

  dsp::ProcessSpec spec_;            // from prepareToPlay(); rate 0: not prepared
  std::atomic<bool> edited_{false};  // whether a change that the host does not know of was made by the user
};

}  // namespace coil::plugin
