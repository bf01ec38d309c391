// Layout and state of the header.
#include "plugin/editor/header.h"

#include <algorithm>

#include "plugin/editor/midi_target.h"
#include "plugin/editor/theme.h"
#include "plugin/processor.h"

namespace coil::plugin {

Header::NameButton::NameButton() : juce::Button("Model") {
  setTooltip("Browse models and presets (Ctrl+F)");
  setMouseClickGrabsKeyboardFocus(false);
}

void Header::NameButton::show(const juce::String& name, bool faint) {
  name_ = name;
  faint_ = faint;
  setTitle("Browse models, now: " + name);
  repaint();
}

void Header::NameButton::paintButton(juce::Graphics& g, bool over, bool down) {
  const auto area = getLocalBounds().toFloat();
  g.setColour(down ? theme::kPanel : over ? theme::kHover : theme::kRaised);
  g.fillRoundedRectangle(area, theme::kCorner);
  auto text = getLocalBounds().reduced(theme::kGap, 0);
  if (constexpr int kRoomForIcon = 120; text.getWidth() >= kRoomForIcon) {
    draw_icon(g, Icon::browse, text.removeFromLeft(15).toFloat(), theme::kTextSoft);
    text.removeFromLeft(theme::kGap);
  }
  g.setFont(theme::font(theme::kTextNormal, theme::Weight::strong));
  g.setColour(faint_ ? theme::kTextSoft : theme::kText);
  g.drawText(name_, text, juce::Justification::centredLeft);
  if (hasKeyboardFocus(true)) theme::draw_focus(g, area);
}

Header::Header(Processor& processor)
    : processor_(processor), bypass_(*processor.parameters().bypass, [this](float on) {
        power_.setToggleState(on < 0.5f, juce::dontSendNotification);
      }) {
  setTitle("Header");
  setFocusContainerType(FocusContainerType::focusContainer);
  previous_.onClick = [this] { processor_.load_neighbour(-1); };
  next_.onClick = [this] { processor_.load_neighbour(1); };
  name_.onClick = [this] { on_browse(); };
  slots_.on_switch = [this](int slot) { processor_.set_active_slot(slot); };
  copy_.onClick = [this] { processor_.copy_to_other_slot(); };
  undo_.onClick = [this] { processor_.undo(); };
  redo_.onClick = [this] { processor_.redo(); };
  power_.onClick = [this] { bypass_.setValueAsCompleteGesture(power_.getToggleState() ? 1.0f : 0.0f); };
  cabinet_.onClick = [this] { on_cabinet(); };
  tuner_.onClick = [this] { on_tuner(); };
  menu_.onClick = [this] { on_menu(); };
  snapshots_.on_press = [this](int number) { on_snapshot(number); };
  set_midi_target(power_, *processor.parameters().bypass);
  set_midi_target(tuner_, *processor.parameters().tuner);
  set_midi_target(cabinet_, *processor.parameters().cabinet_on);
  bypass_.sendInitialUpdate();
  for (juce::Component* child :
       std::initializer_list<juce::Component*>{&previous_, &name_, &next_, &slots_, &snapshots_, &copy_, &undo_, &redo_,
                                               &tuner_, &cabinet_, &power_, &menu_})
    addAndMakeVisible(child);
  update();
}

void Header::update() {
  const int slot = processor_.active_slot();
  const auto status = processor_.status(slot);
  using Kind = SlotStatus::Kind;
  const juce::String name = status.kind == Kind::empty ? juce::String("Choose a model") : status.name;
  name_.show(status.kind == Kind::loading ? name + juce::String::fromUTF8(" \xe2\x80\xa6") : name,
             status.kind != Kind::playing);
  slots_.show(slot, {processor_.status(0).name, processor_.status(1).name});
  undo_.setEnabled(processor_.can_undo());
  redo_.setEnabled(processor_.can_redo());
  bool cabinet = false;
  for (int i = 0; i < kMicrophones; ++i) cabinet |= processor_.microphone(i).response != nullptr;
  cabinet_.setToggleState(cabinet && processor_.parameters().cabinet_on->get(), juce::dontSendNotification);
  copy_.setEnabled(status.kind == Kind::playing);
  tick();
}

void Header::tick() { snapshots_.show(processor_.snapshots()); }

void Header::paint(juce::Graphics& g) {
  auto mark = mark_area_.toFloat();
  const auto circle = mark.removeFromLeft(mark.getHeight());
  g.setGradientFill(
      {theme::kCopper, circle.getX(), circle.getY(), theme::kSteel, circle.getRight(), circle.getBottom(), false});
  g.strokePath(coil_path(circle.getCentre(), circle.getWidth() / 2 - 1, 2.5f, 0.1f),
               juce::PathStrokeType(2, juce::PathStrokeType::curved, juce::PathStrokeType::rounded));
  if (mark.getWidth() < mark.getHeight()) return;
  g.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  g.setColour(theme::kText);
  g.drawText("Coil", mark.withTrimmedLeft(theme::kGap), juce::Justification::centredLeft);
}

void Header::resized() {
  constexpr int kMarkWidth = 72, kSwitchWidth = 56, kSnapshotsWidth = 104, kMaxNameWidth = 300, kNarrow = 680;
  const bool narrow = getWidth() < kNarrow;
  auto area =
      getLocalBounds().reduced(theme::kPad, 0).withSizeKeepingCentre(getWidth() - 2 * theme::kPad, theme::kButton);
  mark_area_ = area.removeFromLeft(narrow ? theme::kButton : kMarkWidth).reduced(0, 2);
  copy_.setVisible(!narrow);  // the menu also has it
  for (auto* button : {&menu_, &power_, &cabinet_, &tuner_, &redo_, &undo_, &copy_})
    if (button->isVisible()) button->setBounds(area.removeFromRight(theme::kButton));
  snapshots_.setBounds(area.removeFromRight(kSnapshotsWidth).translated(-theme::kGap / 2, 0));
  area.removeFromRight(theme::kGap / 2);
  slots_.setBounds(area.removeFromRight(kSwitchWidth).translated(-theme::kGap / 2, 0));
  area.removeFromRight(theme::kGap);
  area.removeFromLeft(theme::kGap);
  // Centred in the window if there is enough space.
  const int width = std::min(area.getWidth(), kMaxNameWidth + 2 * theme::kButton);
  auto model = juce::Rectangle<int>(width, area.getHeight())
                   .withCentre({getWidth() / 2, area.getCentreY()})
                   .constrainedWithin(area);
  previous_.setBounds(model.removeFromLeft(theme::kButton));
  next_.setBounds(model.removeFromRight(theme::kButton));
  name_.setBounds(model);
}

}  // namespace coil::plugin
