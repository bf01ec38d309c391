// Draws JUCE's own widgets in this plugin's colours.
#include "plugin/editor/look_and_feel.h"

#include <cmath>

#include "plugin/editor/icon_button.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kMenuRow = 28, kMenuIndent = 26, kTooltipWidth = 300, kTooltipPad = 9;
constexpr float kDisabledAlpha = 0.4f;

juce::TextLayout tooltip_layout(const juce::String& text) {
  juce::AttributedString string;
  string.setJustification(juce::Justification::centredLeft);
  string.append(text, theme::font(theme::kTextNormal), theme::kText);
  juce::TextLayout layout;
  layout.createLayoutWithBalancedLineLengths(string, kTooltipWidth);
  return layout;
}

juce::LookAndFeel_V4::ColourScheme scheme() {
  return {theme::kBackground, theme::kRaised, theme::kRaised, theme::kLine, theme::kText,
          theme::kCopperDeep, theme::kText,   theme::kHover,  theme::kText};
}

}  // namespace

LookAndFeel::LookAndFeel() : LookAndFeel_V4(scheme()) {
  setColour(juce::PopupMenu::backgroundColourId, theme::kRaised);
  setColour(juce::TextEditor::textColourId, theme::kText);
  setColour(juce::TextEditor::highlightColourId, theme::kCopperDeep);
  setColour(juce::TextEditor::highlightedTextColourId, theme::kText);
  setColour(juce::CaretComponent::caretColourId, theme::kCopper);
  setColour(juce::Label::textColourId, theme::kText);
  setColour(juce::Label::textWhenEditingColourId, theme::kText);
  setColour(juce::Label::outlineWhenEditingColourId, juce::Colours::transparentBlack);
  setColour(juce::ListBox::backgroundColourId, juce::Colours::transparentBlack);
  setColour(juce::TextButton::buttonColourId, theme::kRaised);
  setColour(juce::TextButton::buttonOnColourId, theme::kCopper);
  setColour(juce::TextButton::textColourOffId, theme::kText);
  setColour(juce::TextButton::textColourOnId, theme::kBackground);
  setDefaultLookAndFeel(this);
}

LookAndFeel::~LookAndFeel() { setDefaultLookAndFeel(nullptr); }

juce::Typeface::Ptr LookAndFeel::getTypefaceForFont(const juce::Font& font) {
  if (font.getTypefaceName() != juce::Font::getDefaultSansSerifFontName())
    return LookAndFeel_V4::getTypefaceForFont(font);
  return theme::font(font.getHeight(), font.isBold() ? theme::Weight::strong : theme::Weight::regular).getTypefacePtr();
}

void LookAndFeel::drawPopupMenuBackgroundWithOptions(juce::Graphics& g, int width, int height,
                                                     const juce::PopupMenu::Options&) {
  g.fillAll(theme::kRaised);
  g.setColour(theme::kHover);
  g.drawRect(0, 0, width, height);
}

void LookAndFeel::drawPopupMenuItem(juce::Graphics& g, const juce::Rectangle<int>& area, bool separator, bool active,
                                    bool highlighted, bool ticked, bool has_sub_menu, const juce::String& text,
                                    const juce::String& shortcut, const juce::Drawable*, const juce::Colour*) {
  if (separator) {
    g.setColour(theme::kHover);
    g.fillRect(area.withSizeKeepingCentre(area.getWidth() - 2 * theme::kPad, 1));
    return;
  }
  if (highlighted && active) {
    g.setColour(theme::kHover);
    g.fillRoundedRectangle(area.reduced(4, 1).toFloat(), theme::kCorner);
  }
  const float alpha = active ? 1 : kDisabledAlpha;
  if (ticked) {
    constexpr float kDot = 6;
    g.setColour(theme::kCopper.withMultipliedAlpha(alpha));
    g.fillEllipse(area.withWidth(kMenuIndent).toFloat().withSizeKeepingCentre(kDot, kDot));
  }
  auto content = area.withTrimmedLeft(kMenuIndent).withTrimmedRight(theme::kPad);
  if (has_sub_menu) draw_icon(g, Icon::next, content.removeFromRight(kMenuRow / 2).toFloat(), theme::kTextSoft);
  g.setFont(getPopupMenuFont());
  g.setColour(theme::kText.withMultipliedAlpha(alpha));
  g.drawText(text, content, juce::Justification::centredLeft);
  g.setColour(theme::kTextFaint.withMultipliedAlpha(alpha));
  g.drawText(shortcut, content, juce::Justification::centredRight);
}

void LookAndFeel::getIdealPopupMenuItemSize(const juce::String& text, bool separator, int, int& width, int& height) {
  width = separator ? kMenuRow : getPopupMenuFont().getStringWidth(text) + 3 * kMenuIndent;
  height = separator ? kMenuRow / 3 : kMenuRow;
}

juce::Font LookAndFeel::getPopupMenuFont() { return theme::font(theme::kTextNormal); }
int LookAndFeel::getPopupMenuBorderSize() { return 5; }

juce::Rectangle<int> LookAndFeel::getTooltipBounds(const juce::String& text, juce::Point<int> position,
                                                   juce::Rectangle<int> parent) {
  constexpr int kBelowPointer = 20;
  const auto layout = tooltip_layout(text);
  const auto padded = [](float length) { return static_cast<int>(std::ceil(length)) + 2 * kTooltipPad; };
  const int width = padded(layout.getWidth()), height = padded(layout.getHeight());
  const int y = position.y + kBelowPointer + height < parent.getBottom() ? position.y + kBelowPointer
                                                                         : position.y - height - kTooltipPad;
  return juce::Rectangle<int>(position.x - width / 2, y, width, height).constrainedWithin(parent);
}

void LookAndFeel::drawTooltip(juce::Graphics& g, const juce::String& text, int width, int height) {
  g.fillAll(theme::kHover);
  tooltip_layout(text).draw(g, juce::Rectangle<int>(width, height).toFloat().reduced(kTooltipPad));
}

void LookAndFeel::drawComboBox(juce::Graphics& g, int width, int height, bool, int, int, int, int,
                               juce::ComboBox& box) {
  const auto area = juce::Rectangle<int>(width, height).toFloat();
  g.setColour(box.isMouseOver(true) ? theme::kHover : theme::kRaised);
  g.fillRoundedRectangle(area, theme::kCorner);
  constexpr float kArrow = 4;
  const juce::Point<float> tip(area.getRight() - 2.5f * kArrow, area.getCentreY() + kArrow / 2);
  juce::Path arrow;
  arrow.startNewSubPath(tip.translated(-kArrow, -kArrow));
  arrow.lineTo(tip);
  arrow.lineTo(tip.translated(kArrow, -kArrow));
  g.setColour(theme::kTextSoft);
  g.strokePath(arrow, juce::PathStrokeType(theme::kFocusWidth));
  if (box.hasKeyboardFocus(true)) theme::draw_focus(g, area);
}

juce::Font LookAndFeel::getComboBoxFont(juce::ComboBox&) { return theme::font(theme::kTextSmall); }

void LookAndFeel::positionComboBoxText(juce::ComboBox& box, juce::Label& label) {
  constexpr int kArrowWidth = 16;
  label.setBounds(box.getLocalBounds().withTrimmedRight(kArrowWidth));
  label.setFont(getComboBoxFont(box));
}

// Text on its parent's background.
static bool is_plain(const juce::TextEditor& editor) {
  return editor.findColour(juce::TextEditor::outlineColourId).isTransparent();
}

void LookAndFeel::fillTextEditorBackground(juce::Graphics& g, int width, int height, juce::TextEditor& editor) {
  if (is_plain(editor)) return;
  g.setColour(theme::kBackground);
  g.fillRoundedRectangle(juce::Rectangle<int>(width, height).toFloat(), theme::kCorner);
}

void LookAndFeel::drawTextEditorOutline(juce::Graphics& g, int width, int height, juce::TextEditor& editor) {
  const auto area = juce::Rectangle<int>(width, height).toFloat();
  if (editor.hasKeyboardFocus(true)) {
    theme::draw_focus(g, area);
  } else if (!is_plain(editor)) {
    g.setColour(theme::kLine);
    g.drawRoundedRectangle(area.reduced(theme::kHairline / 2), theme::kCorner, theme::kHairline);
  }
}

int LookAndFeel::getDefaultScrollbarWidth() { return 8; }

void LookAndFeel::drawScrollbar(juce::Graphics& g, juce::ScrollBar&, int x, int y, int width, int height, bool vertical,
                                int thumb_start, int thumb_size, bool over, bool down) {
  const juce::Rectangle<int> thumb = vertical ? juce::Rectangle<int>(x, thumb_start, width, thumb_size)
                                              : juce::Rectangle<int>(thumb_start, y, thumb_size, height);
  g.setColour(over || down ? theme::kTextFaint : theme::kHover);
  g.fillRoundedRectangle(thumb.toFloat().reduced(1.5f), 3);
}

void LookAndFeel::drawButtonBackground(juce::Graphics& g, juce::Button& button, const juce::Colour& colour, bool over,
                                       bool down) {
  constexpr float kOver = 0.12f, kDown = 0.15f;
  const auto area = button.getLocalBounds().toFloat();
  const auto shade = down ? colour.darker(kDown) : over ? colour.brighter(kOver) : colour;
  g.setColour(shade.withMultipliedAlpha(button.isEnabled() ? 1 : kDisabledAlpha));
  g.fillRoundedRectangle(area, theme::kCorner);
  if (button.hasKeyboardFocus(true)) theme::draw_focus(g, area);
}

void LookAndFeel::drawButtonText(juce::Graphics& g, juce::TextButton& button, bool, bool) {
  g.setFont(getTextButtonFont(button, button.getHeight()));
  const auto colour =
      button.findColour(button.getToggleState() ? juce::TextButton::textColourOnId : juce::TextButton::textColourOffId);
  g.setColour(colour.withMultipliedAlpha(button.isEnabled() ? 1 : kDisabledAlpha));
  g.drawText(button.getButtonText(), button.getLocalBounds().reduced(theme::kGap / 2, 0), juce::Justification::centred);
}

juce::Font LookAndFeel::getTextButtonFont(juce::TextButton&, int height) {
  constexpr int kSmallButton = 20;
  if (height <= kSmallButton) return theme::font(theme::kTextSmall);
  return theme::font(theme::kTextNormal, theme::Weight::strong);
}

void LookAndFeel::drawToggleButton(juce::Graphics& g, juce::ToggleButton& button, bool over, bool) {
  constexpr float kTrackWidth = 24, kTrackHeight = 13, kThumb = 9;
  auto area = button.getLocalBounds().toFloat();
  const auto track = area.removeFromTop(area.getHeight() / 2).withSizeKeepingCentre(kTrackWidth, kTrackHeight);
  const bool on = button.getToggleState();
  g.setColour(on ? theme::kCopper : over ? theme::kHover.brighter(0.1f) : theme::kTrack);
  g.fillRoundedRectangle(track, kTrackHeight / 2);
  const float inset = kTrackHeight / 2;
  const juce::Point<float> thumb(on ? track.getRight() - inset : track.getX() + inset, track.getCentreY());
  g.setColour(on ? theme::kBackground : theme::kTextSoft);
  g.fillEllipse(juce::Rectangle<float>(kThumb, kThumb).withCentre(thumb));
  g.setFont(theme::font(theme::kTextSmall));
  g.setColour(on ? theme::kText : theme::kTextSoft);
  g.drawText(button.getButtonText(), area, juce::Justification::centred);
  if (button.hasKeyboardFocus(true)) theme::draw_focus(g, button.getLocalBounds().toFloat());
}

void LookAndFeel::fillResizableWindowBackground(juce::Graphics& g, int, int, const juce::BorderSize<int>&,
                                                juce::ResizableWindow&) {
  g.fillAll(theme::kBackground);
}

void LookAndFeel::drawResizableWindowBorder(juce::Graphics& g, int width, int height, const juce::BorderSize<int>&,
                                            juce::ResizableWindow&) {
  g.setColour(theme::kLine);
  g.drawRect(0, 0, width, height);
}

void LookAndFeel::drawDocumentWindowTitleBar(juce::DocumentWindow& window, juce::Graphics& g, int width, int height,
                                             int, int, const juce::Image*, bool) {
  g.fillAll(theme::kBackground);
  g.setFont(theme::font(theme::kTextNormal, theme::Weight::strong));
  g.setColour(window.isActiveWindow() ? theme::kTextSoft : theme::kTextFaint);
  g.drawText(window.getName(), 0, 0, width, height, juce::Justification::centred);
}

juce::Button* LookAndFeel::createDocumentWindowButton(int type) {
  if (type == juce::DocumentWindow::closeButton) return new IconButton(Icon::close, "Close", "Close the window");
  if (type == juce::DocumentWindow::minimiseButton)
    return new IconButton(Icon::minimise, "Minimise", "Minimise the window");
  return new IconButton(Icon::maximise, "Maximise", "Maximise the window");
}

void LookAndFeel::drawCornerResizer(juce::Graphics& g, int width, int height, bool over, bool dragging) {
  g.setColour(over || dragging ? theme::kTextSoft : theme::kTextFaint.withAlpha(0.6f));
  const auto w = static_cast<float>(width), h = static_cast<float>(height);
  for (const float part : {0.3f, 0.6f}) g.drawLine(w * part, h - 3, w - 3, h * part, theme::kHairline);
}

}  // namespace coil::plugin
