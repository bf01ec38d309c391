// A message below the header: an error, a warning or a confirmation.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/editor/icon_button.h"

namespace coil::plugin {

class MessageBar final : public juce::Component, public juce::SettableTooltipClient {
 public:
  enum class Kind { error, warning, done };

  MessageBar();

  // Also read by screen readers. `details`: the tooltip, if the text is shortened.
  void show(Kind kind, const juce::String& text, const juce::String& details);
  void hide();
  const juce::String& text() const { return text_; }  // empty: hidden
  int height(int width) const;                        // for the text, up to kMaxLines; 0 while hidden

  std::function<void()> on_close;

 private:
  static constexpr int kMaxLines = 3;

  void paint(juce::Graphics& g) override;
  void resized() override;
  std::unique_ptr<juce::AccessibilityHandler> createAccessibilityHandler() override;
  juce::Rectangle<int> text_area() const;
  juce::Colour colour() const;

  Kind kind_ = Kind::done;
  juce::String text_;
  IconButton close_{Icon::close, "Close the message", "Close (Escape)"};
};

}  // namespace coil::plugin
