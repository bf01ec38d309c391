// The switch between the two slots, 1 and 2.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include <array>

namespace coil::plugin {

class SlotSwitch final : public juce::Component {
 public:
  SlotSwitch();

  void show(int active_slot, const std::array<juce::String, 2>& names);

  std::function<void(int)> on_switch;

 private:
  class Side final : public juce::Button {
   public:
    explicit Side(const juce::String& letter);

   private:
    void paintButton(juce::Graphics& g, bool over, bool down) override;
  };

  void paint(juce::Graphics& g) override;
  void resized() override;

  std::array<Side, 2> sides_{Side("1"), Side("2")};
};

}  // namespace coil::plugin
