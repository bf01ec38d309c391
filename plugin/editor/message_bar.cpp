// Drawing and size of the message bar.
#include "plugin/editor/message_bar.h"

#include <algorithm>
#include <cmath>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kIcon = 18, kMargin = 7;

}  // namespace

MessageBar::MessageBar() {
  setTitle("Message");
  setFocusContainerType(FocusContainerType::focusContainer);
  close_.onClick = [this] { on_close(); };
  addAndMakeVisible(close_);
}

void MessageBar::show(Kind kind, const juce::String& text, const juce::String& details) {
  kind_ = kind;
  text_ = text;
  setTooltip(details);
  setDescription(text);
  setVisible(true);
  juce::AccessibilityHandler::postAnnouncement(text, kind == Kind::error
                                                         ? juce::AccessibilityHandler::AnnouncementPriority::high
                                                         : juce::AccessibilityHandler::AnnouncementPriority::medium);
  repaint();
}

void MessageBar::hide() {
  text_.clear();
  setVisible(false);
}

int MessageBar::height(int width) const {
  if (text_.isEmpty()) return 0;
  juce::AttributedString text(text_);
  const auto font = theme::font(theme::kTextNormal);
  text.setFont(font);
  juce::TextLayout layout;
  layout.createLayout(text,
                      static_cast<float>(width - 2 * theme::kPad - kIcon - theme::kGap - theme::kButton - theme::kGap));
  const int lines = std::clamp(layout.getNumLines(), 1, kMaxLines);
  return static_cast<int>(std::ceil(static_cast<float>(lines) * font.getHeight() * 1.15f)) + 2 * kMargin;
}

juce::Colour MessageBar::colour() const {
  return kind_ == Kind::error ? theme::kError : kind_ == Kind::warning ? theme::kWarning : theme::kCopper;
}

juce::Rectangle<int> MessageBar::text_area() const {
  return getLocalBounds()
      .reduced(theme::kPad, 0)
      .withTrimmedLeft(kIcon + theme::kGap)
      .withTrimmedRight(theme::kButton + theme::kGap);
}

void MessageBar::paint(juce::Graphics& g) {
  constexpr float kEdge = 3, kTint = 0.12f;
  const auto area = getLocalBounds().toFloat();
  g.setColour(theme::kRaised.interpolatedWith(colour(), kTint));
  g.fillRoundedRectangle(area, theme::kCorner);
  {
    const juce::Graphics::ScopedSaveState clip(g);
    g.reduceClipRegion(getLocalBounds().removeFromLeft(static_cast<int>(kEdge)));
    g.setColour(colour());
    g.fillRoundedRectangle(area, theme::kCorner);
  }
  const auto icon = getLocalBounds().reduced(theme::kPad, 0).removeFromLeft(kIcon).withSizeKeepingCentre(kIcon, kIcon);
  draw_icon(g, kind_ == Kind::done ? Icon::done : Icon::warning, icon.toFloat(), colour());
  g.setFont(theme::font(theme::kTextNormal));
  g.setColour(theme::kText);
  g.drawFittedText(text_, text_area(), juce::Justification::centredLeft, kMaxLines, 1);
}

void MessageBar::resized() {
  close_.setBounds(getLocalBounds()
                       .reduced(theme::kGap / 2, 0)
                       .removeFromRight(theme::kButton)
                       .withSizeKeepingCentre(theme::kButton, theme::kButton));
}

std::unique_ptr<juce::AccessibilityHandler> MessageBar::createAccessibilityHandler() {
  return std::make_unique<juce::AccessibilityHandler>(*this, juce::AccessibilityRole::staticText);
}

}  // namespace coil::plugin
