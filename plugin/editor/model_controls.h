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

  // Rebuilds the knobs if the meaning of the controls changed.
  void update();
  // The heights that are useful at this width: the least that shows every knob, and the largest that is used.
  juce::Range<int> useful_height(int width) const;

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;

  Parameters& parameters_;
  std::vector<std::unique_ptr<Knob>> knobs_;
  juce::StringArray meanings_;
};

}  // namespace coil::plugin
