// A button that shows a pictogram, with an accessible name and a tooltip.
#pragma once

#include "plugin/editor/icons.h"

namespace coil::plugin {

class IconButton final : public juce::Button {
 public:
  // `title` is read by screen readers; `tooltip` may add a shortcut or other details.
  IconButton(Icon icon, const juce::String& title, const juce::String& tooltip);

  void set_colour_when_on(juce::Colour colour) { on_colour_ = colour; }

 private:
  void paintButton(juce::Graphics& g, bool over, bool down) override;
  // The right button is for menus.
  void mouseDown(const juce::MouseEvent& event) override;
  void mouseUp(const juce::MouseEvent& event) override;

  Icon icon_;
  juce::Colour on_colour_;
};

}  // namespace coil::plugin
