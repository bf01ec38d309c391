// Texts and layout of the notice.
#include "plugin/editor/notice.h"

#include <algorithm>

#include "plugin/editor/icons.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"

namespace coil::plugin {
namespace {

constexpr const char* kBrowse = "Browse models";
constexpr const char* kOpen = "Open file";

struct Words {
  juce::String title, message, remedy, other;
  bool remedy_browses = true;
};

Words words_for(const SlotStatus& status, const juce::String& session_problem) {
  using Kind = SlotStatus::Kind;
  if (status.kind == Kind::empty && session_problem.isNotEmpty())
    return {"This session could not be opened",
            session_problem + "\nIt is kept as it is until you load something here.", kBrowse, kOpen};
  switch (status.kind) {
    case Kind::loading:
      return {"Loading " + status.name, "The sound continues meanwhile.", "", ""};
    case Kind::missing:
      return {"Not found: " + status.name, status.message + "\nUntil it is found the sound passes through.",
              "Locate file", kBrowse, false};
    case Kind::failed:
      return {status.name + " does not play here", status.message + "\nUntil then the sound passes through.", kBrowse,
              kOpen};
    default:
      return {"Drop a model here",
              "A .safetensors file, a saved preset or a capture (.nam, Proteus, AIDA-X), or choose one of those that "
              "come with Coil. An amplifier needs a cabinet after it (Ctrl+E). Ctrl+I sets the level of your "
              "interface, Ctrl+L learns a device of your own. Until then the sound passes through.",
              kBrowse, kOpen};
  }
}

}  // namespace

Notice::Notice() {
  setTitle("Notice");
  setFocusContainerType(FocusContainerType::focusContainer);
  title_.setFont(theme::font(theme::kTextTitle, theme::Weight::strong));
  message_.setFont(theme::font(theme::kTextNormal));
  message_.setColour(juce::Label::textColourId, theme::kTextSoft);
  for (auto* label : {&title_, &message_}) {
    label->setJustificationType(juce::Justification::centred);
    label->setMinimumHorizontalScale(1);
    addAndMakeVisible(label);
  }
  message_.setJustificationType(juce::Justification::centredTop);
  title_.setMinimumHorizontalScale(0.7f);
  remedy_.onClick = [this] { press(remedy_browses_); };
  other_.onClick = [this] { press(!remedy_browses_); };
  theme::make_primary(remedy_);
  for (auto* button : {&remedy_, &other_}) {
    button->setMouseClickGrabsKeyboardFocus(false);
    addAndMakeVisible(button);
  }
}

void Notice::show(const SlotStatus& status, const juce::String& session_problem) {
  kind_ =
      status.kind == SlotStatus::Kind::empty && session_problem.isNotEmpty() ? SlotStatus::Kind::failed : status.kind;
  const auto words = words_for(status, session_problem);
  title_.setText(words.title, juce::dontSendNotification);
  const auto message = capitalised(words.message);
  message_.setText(message, juce::dontSendNotification);
  message_.setTooltip(words.message);
  remedy_browses_ = words.remedy_browses;
  remedy_.setButtonText(words.remedy);
  other_.setButtonText(words.other);
  for (auto* button : {&remedy_, &other_}) {
    const bool browses = (button == &remedy_) == remedy_browses_;
    button->setTooltip(browses ? "Browse models and presets (Ctrl+F)"
                               : "Open a model (.safetensors) or preset (.coil) from disk (Ctrl+O)");
    button->setVisible(button->getButtonText().isNotEmpty());
  }
  resized();
  repaint();
}

void Notice::paint(juce::Graphics& g) {
  using Kind = SlotStatus::Kind;
  const auto area = getLocalBounds().toFloat();
  theme::fill_panel(g, area);
  // A large, faint logo behind the text.
  {
    const juce::Graphics::ScopedSaveState clip(g);
    g.reduceClipRegion(getLocalBounds().reduced(2));
    const float radius = std::min(area.getWidth(), area.getHeight()) * 0.62f;
    g.setColour(theme::kLine.withAlpha(0.75f));
    g.strokePath(coil_path(area.getCentre(), radius, 4.25f, 0.24f), juce::PathStrokeType(theme::kFocusWidth));
    const auto centre = area.getCentre();
    juce::ColourGradient calm(theme::kPanel, centre.x, centre.y, theme::kPanel.withAlpha(0.0f), centre.x + radius,
                              centre.y, true);
    calm.addColour(0.5, theme::kPanel.withAlpha(0.92f));
    g.setGradientFill(calm);
    g.fillRect(area);
  }
  if (kind_ == Kind::missing || kind_ == Kind::failed) {
    constexpr float kIcon = 26;
    const auto place = title_.getBounds().toFloat().getCentre().translated(
        0, -0.5f * static_cast<float>(title_.getHeight()) - kIcon / 2 - 2);
    draw_icon(g, Icon::warning, juce::Rectangle<float>(kIcon, kIcon).withCentre(place),
              kind_ == Kind::missing ? theme::kWarning : theme::kError);
  }
}

void Notice::resized() {
  constexpr int kTitleHeight = 38, kMaxMessageWidth = 430, kButtonWidth = 128, kButtonHeight = 32;
  auto area = getLocalBounds().reduced(theme::kPad);
  const int width = std::min(area.getWidth(), kMaxMessageWidth);
  const int room = area.getHeight() - kTitleHeight - kButtonHeight - 3 * theme::kPad;

  juce::AttributedString text(message_.getText());
  text.setFont(message_.getFont());
  juce::TextLayout layout;
  layout.createLayout(text, static_cast<float>(width - 2 * theme::kPad));
  const int message =
      std::clamp(juce::roundToInt(layout.getHeight()) + theme::kPad, theme::kRow, std::max(theme::kRow, room));

  area = area.withSizeKeepingCentre(area.getWidth(), kTitleHeight + message + kButtonHeight + theme::kPad);
  title_.setBounds(area.removeFromTop(kTitleHeight));
  message_.setBounds(area.removeFromTop(message).withSizeKeepingCentre(width, message));
  area.removeFromTop(theme::kPad);
  auto buttons = area.withSizeKeepingCentre(2 * kButtonWidth + theme::kPad, kButtonHeight);
  remedy_.setBounds(buttons.removeFromLeft(kButtonWidth));
  other_.setBounds(buttons.removeFromRight(kButtonWidth));
}

}  // namespace coil::plugin
