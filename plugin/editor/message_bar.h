// One line below the header that says what went wrong, or that something was done.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "plugin/editor/icon_button.h"

namespace coil::plugin {

class MessageBar final : public juce::Component, public juce::SettableTooltipClient {
 public:
  enum class Kind { error, warning, done };

  MessageBar();

  // Screen readers say it as well. `details`: what the tooltip says, where the text is a shorter form of it.
  void show(Kind kind, const juce::String& text, const juce::String& details);
  void hide();
  const juce::String& text() const { return text_; }  // empty: hidden
  int height(int width) const;                        // that the text needs, up to kMaxLines; 0 while it is hidden

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
