// Layout of the page, and the measurement.
#include "plugin/editor/level_page.h"

#include <algorithm>
#include <cmath>

#include "dsp/calibration.h"
#include "plugin/editor/theme.h"
#include "plugin/processor.h"

namespace coil::plugin {
namespace {

constexpr float kLookEverySeconds = 0.15f;
constexpr double kLowestTone_dbu = -40, kHighestTone_dbu = 24, kUsualTone_dbu = 2.2;  // 2.2 dBu: 1 V

juce::String decibels(float db) { return (db > 0 ? "+" : "") + juce::String(db, 1); }

}  // namespace

LevelPage::LevelPage(Processor& processor)
    : processor_(processor), calibrated_attachment_(*processor.parameters().calibrated, calibrated_) {
  setTitle("Input level");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  const auto text = [](juce::Label& label, const juce::String& words, float height, juce::Colour colour) {
    label.setText(words, juce::dontSendNotification);
    label.setFont(theme::font(height));
    label.setColour(juce::Label::textColourId, colour);
    label.setBorderSize({});
    label.setMinimumHorizontalScale(1);
  };
  text(title_, "Input level", theme::kTextLarge, theme::kText);
  text(calibrated_name_, "Calibrated", theme::kTextNormal, theme::kText);
  text(explanation_,
       "A model reacts to level as its device does. Say once how much voltage your interface takes at full scale. Then "
       "every model gets the level that it was made for.",
       theme::kTextNormal, theme::kTextSoft);
  explanation_.setJustificationType(juce::Justification::topLeft);
  text(full_scale_name_, "Full scale of the interface, in dBu: see its manual, at your input gain", theme::kTextNormal,
       theme::kText);
  text(tone_name_, "Or measure: play a tone of known level, such as 1 V (2.2 dBu)", theme::kTextNormal, theme::kText);
  text(tone_text_, "", theme::kTextNormal, theme::kTextSoft);
  text(model_text_, "", theme::kTextNormal, theme::kTextSoft);
  model_text_.setJustificationType(juce::Justification::topLeft);

  const auto slider = [](juce::Slider& s, double low, double high, const char* title, const char* tooltip) {
    s.setRange(low, high, 0.1);
    s.setTitle(title);
    s.setTooltip(tooltip);
    s.setTextValueSuffix(" dBu");
    s.setTextBoxStyle(juce::Slider::TextBoxRight, false, 76, theme::kRow);
  };
  slider(full_scale_, double(dsp::kMinFullScaleDbu), double(dsp::kMaxFullScaleDbu), "Full scale of the interface",
         "dBu of a sine at 0 dBFS, -20 to 40; kept for new sessions on this computer");
  slider(tone_, kLowestTone_dbu, kHighestTone_dbu, "Level of the known tone", "dBu of the tone that you play");
  tone_.setValue(kUsualTone_dbu, juce::dontSendNotification);
  tone_.setDoubleClickReturnValue(true, kUsualTone_dbu);
  full_scale_.setDoubleClickReturnValue(true, double(kUsualFullScaleDbu));
  full_scale_.onValueChange = [this] {
    processor_.set_input_dbu(static_cast<float>(full_scale_.getValue()));
    update();
  };
  tone_.onValueChange = [this] { tick(kLookEverySeconds); };
  measure_.setTooltip("Sets full scale so that the tone that arrives now has the level given here");
  measure_.setMouseClickGrabsKeyboardFocus(false);
  measure_.onClick = [this] { measure(); };
  calibrated_.setClickingTogglesState(true);
  calibrated_.set_colour_when_on(theme::kSteel);
  close_.onClick = [this] { on_close(); };
  for (juce::Component* child : std::initializer_list<juce::Component*>{
           &title_, &calibrated_name_, &calibrated_, &close_, &explanation_, &full_scale_name_, &full_scale_,
           &tone_name_, &tone_, &tone_text_, &measure_, &model_text_})
    addAndMakeVisible(child);
  update();
}

void LevelPage::visibilityChanged() {
  tone_dbfs_.reset();
  if (isVisible())
    listening_.emplace(processor_.tap());
  else
    listening_.reset();
}

void LevelPage::update() {
  const float full_scale = processor_.parameters().input_dbu->get();
  full_scale_.setValue(double(full_scale), juce::dontSendNotification);
  const auto model = processor_.model(processor_.active_slot());
  juce::String words = "No model plays.";
  if (model) {
    const auto own = dsp::input_full_scale_dbu(*model);
    const juce::String name = processor_.status(processor_.active_slot()).name;
    words = own ? name + " was made for a full scale of " + decibels(*own) + " dBu: it gets " +
                      decibels(full_scale - *own) + " dB"
                : name + " does not state the level that it was made for: its level stays as it is";
    if (own) words << (processor_.parameters().calibrated->get() ? "." : " when this is switched on.");
  }
  if (words != model_text_.getText()) model_text_.setText(words, juce::dontSendNotification);
}

void LevelPage::tick(float seconds) {
  since_look_s_ += seconds;
  if (since_look_s_ < kLookEverySeconds) return;
  since_look_s_ = 0;
  update();
  tone_dbfs_ = processor_.input_tone_dbfs();
  const auto tone = static_cast<float>(tone_.getValue());
  const juce::String words = !tone_dbfs_ ? juce::String("No tone arrives yet.")
                                         : "The input is at " + decibels(*tone_dbfs_) + " dBFS: full scale is " +
                                               decibels(tone - *tone_dbfs_) + " dBu.";
  if (words != tone_text_.getText()) tone_text_.setText(words, juce::dontSendNotification);
  measure_.setEnabled(tone_dbfs_.has_value());
}

void LevelPage::measure() {
  if (!tone_dbfs_) return;
  processor_.set_input_dbu(static_cast<float>(tone_.getValue()) - *tone_dbfs_);
  update();
}

bool LevelPage::keyPressed(const juce::KeyPress& key) {
  if (key != juce::KeyPress::escapeKey) return false;
  on_close();
  return true;
}

void LevelPage::paint(juce::Graphics& g) {
  g.fillAll(theme::kBackground);
  theme::fill_panel(g, upper_.toFloat());
  theme::fill_panel(g, lower_.toFloat());
}

void LevelPage::resized() {
  constexpr int kNameWidth = 72, kMeasureWidth = 96, kTwoLines = 36, kMostWidth = 640,
                kUpper = 2 * theme::kRow + kTwoLines + 3 * theme::kGap, kLower = 3 * theme::kRow + 4 * theme::kGap;
  auto area = getLocalBounds().reduced(theme::kPad, 0).withTrimmedBottom(theme::kGap);
  auto head = area.removeFromTop(theme::kHeaderHeight - theme::kGap);
  const auto place = [&](juce::Component& component, int width) {
    component.setBounds(head.removeFromRight(width).withSizeKeepingCentre(width, theme::kButton));
    head.removeFromRight(theme::kGap);
  };
  place(close_, theme::kButton);
  place(calibrated_name_, kNameWidth);
  place(calibrated_, theme::kButton);
  title_.setBounds(head);
  area = area.withSizeKeepingCentre(std::min(area.getWidth(), kMostWidth), area.getHeight());
  // The smallest window has no room for the explanation while a message is open.
  explanation_.setVisible(area.getHeight() >= kTwoLines + kUpper + kLower + 2 * theme::kGap);
  if (explanation_.isVisible()) {
    explanation_.setBounds(area.removeFromTop(kTwoLines));
    area.removeFromTop(theme::kGap);
  }
  upper_ = area.removeFromTop(kUpper);
  area.removeFromTop(theme::kGap);
  lower_ = area.removeFromTop(std::min(area.getHeight(), kLower));
  auto panel = upper_.reduced(theme::kPad, theme::kGap);
  full_scale_name_.setBounds(panel.removeFromTop(theme::kRow));
  full_scale_.setBounds(panel.removeFromTop(theme::kRow));
  panel.removeFromTop(theme::kGap);
  model_text_.setBounds(panel);
  panel = lower_.reduced(theme::kPad, theme::kGap);
  tone_name_.setBounds(panel.removeFromTop(theme::kRow));
  tone_.setBounds(panel.removeFromTop(theme::kRow));
  panel.removeFromTop(theme::kGap);
  auto foot = panel.removeFromTop(theme::kRow);
  measure_.setBounds(foot.removeFromRight(kMeasureWidth));
  tone_text_.setBounds(foot);
}

}  // namespace coil::plugin
