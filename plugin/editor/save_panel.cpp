// Layout and keys of the save panel.
#include "plugin/editor/save_panel.h"

#include "plugin/editor/theme.h"

namespace coil::plugin {

SavePanel::SavePanel() {
  setTitle("Save preset");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  title_.setText("Save preset", juce::dontSendNotification);
  title_.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  title_.setBorderSize({});
  message_.setFont(theme::font(theme::kTextSmall));
  message_.setColour(juce::Label::textColourId, theme::kError);
  message_.setBorderSize({});
  message_.setMinimumHorizontalScale(1);
  name_.setTitle("Name of the preset");
  name_.setFont(theme::font(theme::kTextNormal));
  name_.setIndents(theme::kGap, theme::kGap - 1);
  name_.setTextToShowWhenEmpty("Name", theme::kTextFaint);
  name_.setSelectAllWhenFocused(true);
  name_.onReturnKey = [this] { save(); };
  name_.onEscapeKey = [this] { on_close(); };
  name_.onTextChange = [this] { save_.setEnabled(name_.getText().trim().isNotEmpty()); };
  cancel_.onClick = [this] { on_close(); };
  save_.onClick = [this] { save(); };
  theme::make_primary(save_);
  cancel_.setTooltip("Close without saving (Escape)");
  save_.setTooltip("Save into the folder of user presets (Return)");
  for (juce::Component* child : std::initializer_list<juce::Component*>{&title_, &message_, &name_, &cancel_, &save_})
    addAndMakeVisible(child);
}

void SavePanel::open(const juce::String& suggestion) {
  message_.setText({}, juce::dontSendNotification);
  name_.setText(suggestion);
  setVisible(true);
  if (isShowing()) name_.grabKeyboardFocus();
}

void SavePanel::show_error(const juce::String& message) {
  message_.setText(message, juce::dontSendNotification);
  message_.setTooltip(message);
}

void SavePanel::save() {
  if (const auto name = name_.getText().trim(); name.isNotEmpty()) on_save(name);
}

bool SavePanel::keyPressed(const juce::KeyPress& key) {
  if (key == juce::KeyPress::escapeKey) on_close();
  return true;  // the window's shortcuts are disabled
}

void SavePanel::mouseDown(const juce::MouseEvent& event) {
  if (!card_.contains(event.getPosition())) on_close();
}

void SavePanel::paint(juce::Graphics& g) {
  constexpr float kCover = 0.7f;
  g.fillAll(theme::kBackground.withAlpha(kCover));
  theme::fill_panel(g, card_.toFloat());
  g.setColour(theme::kLine);
  g.drawRoundedRectangle(card_.toFloat(), theme::kPanelCorner, theme::kHairline);
}

void SavePanel::resized() {
  constexpr int kWidth = 340, kHeight = 162, kButtonWidth = 88, kMessageHeight = 30;
  card_ = getLocalBounds().withSizeKeepingCentre(kWidth, kHeight);
  auto area = card_.reduced(theme::kPad + theme::kGap / 2);
  title_.setBounds(area.removeFromTop(theme::kRow));
  area.removeFromTop(theme::kGap);
  name_.setBounds(area.removeFromTop(theme::kButton + 2));
  message_.setBounds(area.removeFromTop(kMessageHeight));
  auto buttons = area.removeFromBottom(theme::kButton);
  save_.setBounds(buttons.removeFromRight(kButtonWidth));
  buttons.removeFromRight(theme::kGap);
  cancel_.setBounds(buttons.removeFromRight(kButtonWidth));
}

}  // namespace coil::plugin
