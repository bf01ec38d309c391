// The page of the input level: the interface's full scale in dBu, set or measured with a known tone, and the level that
// the model was made for.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <optional>

#include "plugin/editor/icon_button.h"
#include "plugin/sound_tap.h"

namespace coil::plugin {

class Processor;

class LevelPage final : public juce::Component {
 public:
  explicit LevelPage(Processor& processor);

  void update();  // after a change of the processor
  void tick(float seconds);
  void visibilityChanged() override;

  std::function<void()> on_close;

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  bool keyPressed(const juce::KeyPress& key) override;
  void measure();

  Processor& processor_;
  std::optional<SoundTap::Listening> listening_;
  std::optional<float> tone_dbfs_;
  float since_look_s_ = 0;

  juce::Label title_, calibrated_name_, explanation_, full_scale_name_, tone_name_, tone_text_, model_text_;
  IconButton close_{Icon::close, "Close the page of the input level", "Close (Escape)"};
  IconButton calibrated_{Icon::power, "Calibrated level",
                         "Lit: each model gets the level that it was made for, as its card states"};
  juce::Slider full_scale_{juce::Slider::LinearHorizontal, juce::Slider::TextBoxRight};
  juce::Slider tone_{juce::Slider::LinearHorizontal, juce::Slider::TextBoxRight};
  juce::TextButton measure_{"Take over"};
  juce::ButtonParameterAttachment calibrated_attachment_;
  juce::Rectangle<int> upper_, lower_;
};

}  // namespace coil::plugin
