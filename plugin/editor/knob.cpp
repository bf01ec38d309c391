// Layout of a knob, and setting its value from typed text.
#include "plugin/editor/knob.h"

#include <algorithm>

#include "plugin/editor/midi_target.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kNameHeight = 16, kValueHeight = 18;

}  // namespace

KnobFrame::KnobFrame(const juce::String& name, juce::Colour colour) : dial_(colour) {
  addAndMakeVisible(dial_);
  addAndMakeVisible(value_);
  value_.setFont(theme::font(theme::kTextSmall));
  value_.setJustificationType(juce::Justification::centred);
  value_.setBorderSize({});
  value_.setMinimumHorizontalScale(0.8f);
  value_.setEditable(true, true, true);
  value_.setWantsKeyboardFocus(false);  // Return on the dial opens it
  value_.setAccessible(false);          // the dial already reads the value
  value_.setMouseCursor(juce::MouseCursor::IBeamCursor);
  value_.onEditorShow = [this] {
    if (auto* editor = value_.getCurrentTextEditor()) {
      editor->setJustification(juce::Justification::centred);
      editor->setTitle(name_ + ", type a value");
      editor->setBorder({});
      editor->setIndents(0, 2);
    }
  };
  value_.onEditorHide = [this] {
    const auto* now = juce::Component::getCurrentlyFocusedComponent();
    if (dial_.isShowing() && (!now || value_.isParentOf(now)))
      dial_.grabKeyboardFocus();  // unless a click has moved the focus elsewhere
  };
  value_.onTextChange = [this] {
    const juce::Slider::ScopedDragNotification gesture(dial_);
    dial_.setValue(dial_.getValueFromText(value_.getText()), juce::sendNotificationSync);
    refresh_text();
  };
  dial_.onValueChange = [this] { refresh_text(); };
  dial_.on_type = [this] { value_.showEditor(); };
  set_name(name);
}

KnobFrame::~KnobFrame() = default;

void KnobFrame::set_name(const juce::String& name) {
  name_ = name;
  dial_.setTitle(name);
  repaint(name_area_);
}

void KnobFrame::set_description(const juce::String& description) {
  dial_.setDescription(description);
  dial_.setTooltip(description);
  setTooltip(description);
  value_.setTooltip(description);
}

void KnobFrame::paint(juce::Graphics& g) {
  g.setFont(theme::font(theme::kTextSmall));
  g.setColour(theme::kTextSoft);
  g.drawFittedText(name_, name_area_, juce::Justification::centred, 1, 0.8f);
}

void KnobFrame::resized() {
  constexpr int kRowGap = 4;
  auto area = getLocalBounds().withTrimmedBottom(kRowGap);
  // In a tall cell, name, dial and value stay together in the centre.
  const int dial = std::min(area.getWidth(), area.getHeight() - kNameHeight - kValueHeight);
  area = area.withSizeKeepingCentre(area.getWidth(), dial + kNameHeight + kValueHeight);
  name_area_ = area.removeFromTop(kNameHeight);
  value_.setBounds(area.removeFromBottom(kValueHeight));
  dial_.setBounds(area.withSizeKeepingCentre(dial, dial));
}

Knob::Knob(juce::RangedAudioParameter& parameter, const juce::String& name, juce::Colour colour)
    : KnobFrame(name, colour), parameter_(parameter), attachment_(parameter, dial()) {
  set_midi_target(*this, parameter);
  dial().setDoubleClickReturnValue(true, parameter.convertFrom0to1(parameter.getDefaultValue()));
  refresh_text();
}

Knob::~Knob() { dial().release(); }  // while the attachment still exists to inform the host

juce::String Knob::value_text() const {
  const auto text = parameter_.getCurrentValueAsText(), unit = parameter_.getLabel();
  // "off" has no unit.
  return unit.isEmpty() || !text.containsAnyOf("0123456789") ? text : text + " " + unit;
}

}  // namespace coil::plugin
