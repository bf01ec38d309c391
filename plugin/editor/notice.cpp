// Texts and layout of the notice.
#include "plugin/editor/notice.h"

#include "plugin/editor/icons.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

struct Words {
  juce::String title, message, browse, open;
};

Words words_for(const SlotStatus& status, const juce::String& session_problem) {
  using Kind = SlotStatus::Kind;
  if (status.kind == Kind::empty && session_problem.isNotEmpty())
    return {"This session could not be opened", session_problem + "\nIt is kept as it is until you load something here.", "Browse models", "Open file"};
  switch (status.kind) {
    case Kind::loading: return {"Loading " + status.name, "The sound goes on meanwhile.", "", ""};
    case Kind::missing: return {"Model not found: " + status.name, status.message + "\nThe sound passes through unchanged.", "Choose another", "Locate file"};
    case Kind::failed: return {"This file does not load", status.message, "Choose another", "Open file"};
    default: return {"Drop a model here", "A .safetensors file or a saved preset, or choose one of those that come with Coil. Until then the sound passes through.",
                     "Browse models", "Open file"};
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
  browse_.onClick = [this] { on_browse(); };
  open_.onClick = [this] { on_open(); };
  for (auto* button : {&browse_, &open_}) {
    button->setMouseClickGrabsKeyboardFocus(false);
    addAndMakeVisible(button);
  }
  browse_.setTooltip("Browse models and presets (Ctrl+F)");
  open_.setTooltip("Open a model (.safetensors) or preset (.coil) from disk (Ctrl+O)");
}

void Notice::show(const SlotStatus& status, const juce::String& session_problem) {
  kind_ = status.kind == SlotStatus::Kind::empty && session_problem.isNotEmpty() ? SlotStatus::Kind::failed : status.kind;
  const auto words = words_for(status, session_problem);
  title_.setText(words.title, juce::dontSendNotification);
  message_.setText(words.message, juce::dontSendNotification);
  message_.setTooltip(words.message);
  browse_.setButtonText(words.browse);
  open_.setButtonText(words.open);
  browse_.setVisible(words.browse.isNotEmpty());
  open_.setVisible(words.open.isNotEmpty());
  resized();
  repaint();
}

void Notice::paint(juce::Graphics& g) {
  using Kind = SlotStatus::Kind;
  const auto area = getLocalBounds().toFloat();
  theme::fill_panel(g, area);
  // The motif, large and quiet, behind the words.
  {
    const juce::Graphics::ScopedSaveState clip(g);
    g.reduceClipRegion(getLocalBounds().reduced(2));
    const float radius = std::min(area.getWidth(), area.getHeight()) * 0.62f;
    g.setColour(theme::kLine.withAlpha(0.75f));
    g.strokePath(coil_path(area.getCentre(), radius, 4.25f, 0.24f), juce::PathStrokeType(theme::kFocusWidth));
  }
  if (kind_ == Kind::missing || kind_ == Kind::failed) {
    constexpr float kIcon = 26;
    const auto place = title_.getBounds().toFloat().getCentre().translated(0, -0.5f * static_cast<float>(title_.getHeight()) - kIcon / 2 - 2);
    draw_icon(g, Icon::warning, juce::Rectangle<float>(kIcon, kIcon).withCentre(place), kind_ == Kind::missing ? theme::kWarning : theme::kError);
  }
}

void Notice::resized() {
  constexpr int kTitleHeight = 34, kMaxMessageWidth = 430, kMaxMessageHeight = 76, kButtonWidth = 128, kButtonHeight = 32;
  auto area = getLocalBounds().reduced(theme::kPad);
  const int width = std::min(area.getWidth(), kMaxMessageWidth);
  const int message = std::min(kMaxMessageHeight, area.getHeight() - kTitleHeight - kButtonHeight - 3 * theme::kPad);
  area = area.withSizeKeepingCentre(area.getWidth(), kTitleHeight + message + kButtonHeight + theme::kGap);
  title_.setBounds(area.removeFromTop(kTitleHeight));
  message_.setBounds(area.removeFromTop(message).withSizeKeepingCentre(width, message));
  area.removeFromTop(theme::kGap);
  auto buttons = area.withSizeKeepingCentre(2 * kButtonWidth + theme::kPad, kButtonHeight);
  browse_.setBounds(buttons.removeFromLeft(kButtonWidth));
  open_.setBounds(buttons.removeFromRight(kButtonWidth));
}

}  // namespace coil::plugin
