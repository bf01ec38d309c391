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
  int count() const { return static_cast<int>(knobs_.size()); }

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;

  Parameters& parameters_;
  std::vector<std::unique_ptr<Knob>> knobs_;
  juce::StringArray meanings_;
};

}  // namespace coil::plugin
