// The page of one stage of the chain: its power and mix, and everything that can be set of it.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <memory>
#include <vector>

#include "plugin/editor/icon_button.h"
#include "plugin/editor/knob.h"
#include "plugin/parameters.h"
#include "plugin/stage_values.h"

namespace coil::plugin {

class StagePage final : public juce::Component {
 public:
  explicit StagePage(Parameters& parameters);
  ~StagePage() override;

  // Call after each change of the stage. `problem`: why it does not play, or empty.
  void show(int number, std::shared_ptr<const FurtherStage> stage, const juce::String& name,
            const juce::String& problem);
  void show_gate();  // that of the models, whose threshold is a parameter
  int number() const { return number_; }

  std::function<void()> on_close;
  std::function<void(int number)> on_remove;
  // `is_step`: whether it is a new undo step.
  std::function<void(int number, const dsp::RigStage& settings, bool is_step)> on_edit;

 private:
  class ValueKnob;

  void rebuild(const std::vector<StageValue>& values);
  void edit(size_t value, double to);
  void paint(juce::Graphics& g) override;
  void resized() override;

  Parameters& parameters_;
  int number_ = 0;
  std::shared_ptr<const FurtherStage> stage_;
  std::vector<StageValue> values_;
  bool is_step_ = true;

  juce::Label title_, problem_;
  IconButton power_{Icon::power, "Power", "Power: lit while the stage is heard"};
  juce::TextButton remove_{"Remove"};
  IconButton close_{Icon::close, "Close the page of the stage", "Close (Escape)"};
  std::unique_ptr<juce::ButtonParameterAttachment> power_attachment_;
  std::unique_ptr<Knob> parameter_knob_;                     // the stage's mix, or the gate's threshold
  std::vector<std::unique_ptr<ValueKnob>> knobs_;            // by value; null: a switch
  std::vector<std::unique_ptr<juce::TextButton>> switches_;  // by value; null: a knob
  juce::Rectangle<int> panel_;
};

}  // namespace coil::plugin
