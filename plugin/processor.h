// The plugin as a host sees it: thin over dsp::Rack.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dsp/rack.h"
#include "plugin/background.h"
#include "plugin/history.h"
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

// Sends a change message (on the message thread) whenever a slot, the active slot or the controls' meaning changed.
class Processor final : public juce::AudioProcessor,
                        public juce::ChangeBroadcaster,
                        private juce::AudioProcessorParameter::Listener,
                        private juce::AsyncUpdater {
 public:
  Processor();
  ~Processor() override;

  // -- what the editor uses, all [message-thread] unless told
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
  void dismiss_errors();        // notice() and load_error of both slots were read

  void load_file(int slot, const juce::File& file);  // model (.safetensors) or user preset (.coil); loads on another thread
  void load_neighbour(
      int step);  // next (+1) or previous (-1) in the library, in the active slot; also past files that do not load
  void clear(int slot);
  juce::File preset_file(
      const juce::String& name) const;  // where save_preset() puts it; throws Error for a name that cannot be one
  juce::File save_preset(const juce::String& name);  // over one of that name; the slot takes the name; throws Error

  bool can_undo() const;
  bool can_redo() const;
  void undo();
  void redo();

  size_t observe(std::span<ssm::LayerActivity> out) const noexcept { return rack_.observe(out); }  // [any thread]
  // Share of a block's time that processing took: mean of late, and worst since the last call of reset_load(). [any thread]
  struct Load {
    float mean = 0, worst = 0;
  };
  Load load() const noexcept { return {load_.mean(), load_.worst()}; }
  void reset_load() noexcept { load_.reset(); }
  // Since prepareToPlay(): samples that counted as 0; models that began anew after a value of theirs was not finite. [any thread]
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
  bool supportsDoublePrecisionProcessing() const override { return false; }  // models compute in single precision: a host converts as well as we could
  juce::AudioProcessorParameter* getBypassParameter() const override { return parameters_.bypass; }
  bool acceptsMidi() const override { return true; }
  bool producesMidi() const override { return false; }
  double getTailLengthSeconds() const override { return 0; }
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
    SlotContent content;  // its controls are those of when the slot was left; while it is active, the parameters hold them
    SlotStatus::Kind kind = SlotStatus::Kind::empty;  // of the content: never loading
    std::string message;
    std::string load_error;
    juce::File loading_file;  // none: nothing loads
    juce::File asked_file;  // what was asked for last, whether or not it loaded; none: something else has changed since
    uint64_t request = 0;   // counts the changes, so that a load that comes too late is known
  };
  // How the parameters' values reach the active slot's controls.
  struct ActiveControls {
    int slot = 0, count = 0;
    std::array<double, dsp::kMaxRackControls> min{}, range{};
  };

  void parameterValueChanged(int, float) override {}
  void parameterGestureChanged(int index, bool starting) override;

  void process(juce::AudioBuffer<float>& audio, const juce::MidiBuffer& midi, bool bypassed) noexcept;
  void copy_parameters(bool bypassed) noexcept;
  void tick();

  // All but the audio thread, with mutex_ held; the audio thread leaves the controls alone while controls_lock_ is held.
  Session current_session() const;
  void keep_controls();  // what the parameters say, into the active slot
  void show_controls();  // what the active slot says, into the parameters
  void install(int slot, SlotContent content);
  void install(Session session);

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

  mutable std::mutex mutex_;  // guards what follows, up to active_controls_; never taken by the audio thread
  std::array<Slot, dsp::kSlots> slots_;
  int active_slot_ = 0;
  History history_;
  std::optional<Session> before_gesture_;
  float value_before_gesture_ = 0;
  std::string notice_;
  juce::MemoryBlock unread_state_;  // a session that could not be read: given back to the host until something is loaded here

  juce::SpinLock controls_lock_;  // the audio thread only tries it
  ActiveControls active_controls_;

  dsp::ProcessSpec spec_;               // of prepareToPlay(); a rate of 0: not prepared
  std::atomic<int> asked_program_{-1};  // by MIDI
  std::atomic<bool> edited_{false};     // a change that the host has not heard of is the player's
};

}  // namespace coil::plugin
