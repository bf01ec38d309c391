// The model's own controls as a grid of knobs that follows the active slot's model.
#pragma once

#include <memory>
#include <vector>

#include "plugin/editor/knob.h"
#include "plugin/parameters.h"

namespace coil::plugin {

class ModelControls final : public juce::Component {
 public:
  explicit ModelControls(Parameters& parameters);

  // Builds the knobs anew if the controls' meaning changed.
  void update();
  // The height that shows every knob at this width: at least, and as much as is of use.
  juce::Range<int> useful_height(int width) const;

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  int rows(int width) const;

  Parameters& parameters_;
  std::vector<std::unique_ptr<Knob>> knobs_;
  juce::StringArray meanings_;
};

}  // namespace coil::plugin
