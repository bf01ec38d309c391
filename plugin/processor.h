// The plugin as a host sees it: thin over dsp::Rack.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <memory>

#include "dsp/rack.h"
#include "plugin/history.h"
#include "plugin/model_library.h"
#include "plugin/parameters.h"
#include "plugin/session.h"
#include "plugin/sound_tap.h"

namespace coil::plugin {

// What the window says of a slot.
struct SlotStatus {
  enum class Kind { empty, loading, playing, missing, failed } kind = Kind::empty;
  juce::String name;     // the card's, or the file's
  juce::String message;  // what is missing or wrong and what would be right; empty when all is well
  juce::File file;       // where it came from; does not exist when the session alone holds it
};

// Sends a change message (on the message thread) whenever a slot, the active slot or the controls' meaning changed.
class Processor final : public juce::AudioProcessor, public juce::ChangeBroadcaster {
 public:
  Processor();
  ~Processor() override;

  // -- what the editor uses, all [message-thread]
  Parameters& parameters() { return parameters_; }
  ModelLibrary& library() { return library_; }
  dsp::RackMeters& meters() { return rack_.meters(); }
  SoundTap& tap() { return tap_; }  // input and output of late, for the spectrum

  int active_slot() const;
  void set_active_slot(int slot);       // the parameters take the values that the slot had when it was left
  void copy_to_other_slot();
  SlotStatus status(int slot) const;
  std::shared_ptr<const ssm::Model> model(int slot) const;  // null: none plays

  void load_file(int slot, const juce::File& file);   // model (.safetensors) or user preset (.coil); loads on another thread
  void load_neighbour(int step);                      // next (+1) or previous (-1) in the library, in the active slot
  void clear(int slot);
  void save_preset(const juce::String& name);         // throws ssm::Error; the user's folder of the library

  bool can_undo() const;
  bool can_redo() const;
  void undo();
  void redo();

  size_t observe(std::span<ssm::LayerActivity> out) const noexcept { return rack_.observe(out); }
  // Share of a block's time that process() took: mean of late, and worst since the last call of reset_load(). [any thread]
  struct Load { float mean = 0, worst = 0; };
  Load load() const noexcept;
  void reset_load() noexcept;

  // -- juce::AudioProcessor
};

}  // namespace coil::plugin
