// Layout, drags and keys of the row.
#include "plugin/editor/stage_row.h"

#include <algorithm>
#include <utility>

#include "plugin/editor/menu_item.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kHeight = 52, kLowHeight = 42, kMinTile = 92, kMaxTile = 148, kTileGap = 10, kScroll = 20;
constexpr double kMixStep = 5, kFineMixStep = 1;

using Kind = StageStatus::Kind;

juce::String name_of(Kind kind) {
  switch (kind) {
    case Kind::gain:
      return "Gain";
    case Kind::gate:
      return "Gate";
    case Kind::model:
      return "Model";
    case Kind::cabinet:
      return "Cabinet";
    case Kind::equaliser:
      return "Equaliser";
    case Kind::doubler:
      return "Doubler";
  }
  return {};
}

juce::Colour colour_of(Kind kind) {
  return kind == Kind::model ? theme::kCopper : kind == Kind::gate ? theme::kTextSoft : theme::kSteel;
}

bool is_further(int number) { return number >= 0; }

}  // namespace

juce::String name_of(const StageStatus& stage) {
  const auto kind = name_of(stage.kind);
  return stage.name.isEmpty() || stage.name.equalsIgnoreCase(kind) ? kind : stage.name;
}

StageRow::StageRow(Parameters& parameters) : parameters_(parameters), height_(kHeight) {
  setTitle("Stages of the chain");
  actions_.open = [this](int number) { on_open(number); };
  actions_.select = [this](int number) { select(number); };
  actions_.menu = [this](int number) { on_menu(menu_of(number), *tile(number)); };
  actions_.key = [this](int number, const juce::KeyPress& key) { return key_pressed(number, key); };
  actions_.drag = [this](int, juce::Point<int> place) {
    marked_gap_ = gap_at(place.x);
    repaint();
  };
  actions_.drop = [this](int number, juce::Point<int> place) {
    marked_gap_.reset();
    repaint();
    const int before = place_of(number, index_of(number)), after = place_of(number, gap_at(place.x));
    if (after != before) on_move(number == kGateTile ? dsp::kModelsStage : number, after);
  };
  add_.onClick = [this] { on_add(); };
  left_.onClick = [this] { scroll(-1); };
  right_.onClick = [this] { scroll(1); };
  addAndMakeVisible(add_);
  addChildComponent(left_);
  addChildComponent(right_);
}

TileParameters StageRow::parameters_of(int number) const {
  const float off = dsp::kGateOffDb, usual = dsp::RigGate{}.threshold_db;
  switch (number) {
    case dsp::kModelsStage:
      return {parameters_.model_on, 0, 1, parameters_.model_mix};
    case dsp::kTailStage:
      return {parameters_.cabinet_on, 0, 1, parameters_.cabinet_mix};
    case dsp::kEqualiserStage:
      return {parameters_.equaliser_on, 0, 1, parameters_.equaliser_mix};
    case kGateTile:
      return {parameters_.gate_threshold, off, usual, nullptr};
    default:
      return {parameters_.further[static_cast<size_t>(number)].on, 0, 1,
              parameters_.further[static_cast<size_t>(number)].mix};
  }
}

StageTile* StageRow::tile(int number) const {
  const auto found = tiles_.find(number);
  return found == tiles_.end() ? nullptr : found->second.get();
}

int StageRow::index_of(int number) const {
  const auto found = std::find(order_.begin(), order_.end(), number);
  return found == order_.end() ? -1 : static_cast<int>(found - order_.begin());
}

void StageRow::show(const std::vector<StageStatus>& stages, const juce::String& model, const juce::String& cabinet) {
  const int selected_index = std::max(0, index_of(selected_));
  const auto* focused = tile(selected_);
  const bool had_focus = focused && focused->hasKeyboardFocus(false);
  std::vector<int> added;
  stages_ = stages;
  order_.clear();
  for (const auto& stage : stages) {
    if (stage.number == dsp::kModelsStage) order_.push_back(kGateTile);
    order_.push_back(stage.number);
  }
  const int selected = selected_;
  std::erase_if(tiles_, [&](const auto& item) { return index_of(item.first) < 0; });
  selected_ = selected;  // erasing the tile with the focus has selected another one
  for (const int number : order_) {
    auto& made = tiles_[number];
    if (made) continue;
    made = std::make_unique<StageTile>(number, parameters_of(number), actions_);
    made->set_open(number == open_);
    addChildComponent(*made);
    added.push_back(number);
  }
  const auto show_one = [&](int number, Kind kind, const juce::String& name, const juce::String& problem) {
    tiles_[number]->show(name, name_of(kind), colour_of(kind), problem,
                         juce::String(index_of(number) + 1) + " of " + juce::String(order_.size()), is_further(number));
    tiles_[number]->setExplicitFocusOrder(index_of(number) + 1);
  };
  show_one(kGateTile, Kind::gate, "Gate", {});
  for (const auto& stage : stages) {
    auto named = stage;
    if (stage.number == dsp::kModelsStage) named.name = model;
    if (stage.number == dsp::kTailStage) named.name = cabinet;
    show_one(stage.number, stage.kind, name_of(named), stage.message);
  }
  const bool was_asked = selects_added_ && !added.empty();
  if (was_asked) {
    selects_added_ = false;
    selected_ = added.back();
  }
  if (index_of(selected_) < 0)
    selected_ = order_[static_cast<size_t>(std::min(selected_index, static_cast<int>(order_.size()) - 1))];
  lay_out();
  const auto* peer = getPeer();
  if (had_focus || (was_asked && peer && peer->isFocused())) focus(index_of(selected_));
  repaint();
}

void StageRow::show_open(int number) {
  if (std::exchange(open_, number) != number && is_further(number)) select(number);
  for (auto& [each, made] : tiles_) made->set_open(each == number);
}

void StageRow::set_low(bool low) { height_ = low ? kLowHeight : kHeight; }

// ---------------------------------------------------------------- places

int StageRow::gap_at(int x) const {
  for (int i = first_; i < first_ + shown_; ++i)
    if (x < tile(order_[static_cast<size_t>(i)])->getBounds().getCentreX()) return i;
  return first_ + shown_;
}

// The place among the stages without `number`, as Processor::move_stage().
int StageRow::place_of(int number, int gap) const {
  if (number == kGateTile) number = dsp::kModelsStage;
  int place = 0;
  for (int i = 0; i < gap; ++i) {
    const int each = order_[static_cast<size_t>(i)];
    place += each != number && each != kGateTile;
  }
  return place;
}

int StageRow::place_at(juce::Point<int> position) const { return place_of(kGateTile - 1, gap_at(position.x)); }

int StageRow::place_behind_selected() const {
  const int index = index_of(selected_ == kGateTile ? dsp::kModelsStage : selected_);
  return index < 0 ? static_cast<int>(stages_.size()) : place_of(kGateTile - 1, index + 1);
}

void StageRow::show_drop(std::optional<juce::Point<int>> position) {
  marked_gap_ = position ? std::optional(gap_at(position->x)) : std::nullopt;
  repaint();
}

// ---------------------------------------------------------------- the user's actions

void StageRow::select(int number) {
  selected_ = number;
  const int index = index_of(number);
  if (index >= 0 && (index < first_ || index >= first_ + shown_)) lay_out();
}

void StageRow::focus(int index) {
  if (order_.empty()) return;
  select(order_[static_cast<size_t>(std::clamp(index, 0, static_cast<int>(order_.size()) - 1))]);
  if (auto* chosen = tile(selected_); chosen->isShowing()) chosen->grabKeyboardFocus();
}

void StageRow::move(int number, int step) {
  const int moved = number == kGateTile ? dsp::kModelsStage : number;
  const auto at = std::find_if(stages_.begin(), stages_.end(), [&](const auto& each) { return each.number == moved; });
  const int place = static_cast<int>(at - stages_.begin()) + step, last = static_cast<int>(stages_.size()) - 1;
  if (place < 0 || place > last) return;
  on_move(moved, place);
  juce::AccessibilityHandler::postAnnouncement(
      tile(number)->name() + " is now stage " + juce::String(place + 1) + " of " + juce::String(last + 1),
      juce::AccessibilityHandler::AnnouncementPriority::medium);
}

void StageRow::remove(int number) {
  if (is_further(number)) return on_remove(number);
  on_refused(tile(number)->name() + " stays in the chain: Space switches it off");
}

bool StageRow::key_pressed(int number, const juce::KeyPress& key) {
  const auto mods = key.getModifiers();
  const int code = key.getKeyCode(), index = index_of(number);
  const bool left = code == juce::KeyPress::leftKey, right = code == juce::KeyPress::rightKey;
  if (mods.isAltDown()) return false;
  if (mods.isCommandDown()) return (left || right) && (move(number, left ? -1 : 1), true);
  if (left || right) return focus(index + (left ? -1 : 1)), true;
  if (code == juce::KeyPress::homeKey) return focus(0), true;
  if (code == juce::KeyPress::endKey) return focus(static_cast<int>(order_.size()) - 1), true;
  const double mix_step = mods.isShiftDown() ? kFineMixStep : kMixStep;
  if (code == juce::KeyPress::upKey) return tile(number)->move_mix(mix_step), true;
  if (code == juce::KeyPress::downKey) return tile(number)->move_mix(-mix_step), true;
  if (code == juce::KeyPress::spaceKey) return tile(number)->turn_power(), true;
  if (code == juce::KeyPress::returnKey) return on_open(number), true;
  if (code == juce::KeyPress::deleteKey || code == juce::KeyPress::backspaceKey) return remove(number), true;
  if (code == juce::KeyPress::insertKey) return on_add(), true;
  if (code == 'm' || code == 'M') return on_menu(menu_of(number), *tile(number)), true;
  return false;
}

juce::PopupMenu StageRow::menu_of(int number) {
  juce::PopupMenu menu;
  const auto item = [&](const juce::String& text, const juce::String& keys, bool enabled, std::function<void()> act) {
    menu.addItem(menu_item(text, keys, enabled, std::move(act)));
  };
  const bool is_on = tile(number)->is_on();
  const int place = place_of(number, index_of(number));
  item("Open", "Return", true, [this, number] { on_open(number); });
  item(is_on ? "Switch off" : "Switch on", "Space", true, [this, number] { tile(number)->turn_power(); });
  item("Move earlier", "Ctrl+Left", place > 0, [this, number] { move(number, -1); });
  item("Move later", "Ctrl+Right", place + 1 < static_cast<int>(stages_.size()), [this, number] { move(number, 1); });
  item("Remove", "Delete", is_further(number), [this, number] { remove(number); });
  menu.addSeparator();
  const auto parameters = parameters_of(number);
  const auto learn = [&](const juce::String& text, const juce::RangedAudioParameter& parameter) {
    item(text, "", true, [this, id = parameter.paramID] { on_learn_midi(id); });
  };
  learn(parameters.mix ? "Learn MIDI for its power" : "Learn MIDI for its threshold", *parameters.power);
  if (parameters.mix) learn("Learn MIDI for its mix", *parameters.mix);
  return menu;
}

// ---------------------------------------------------------------- layout

void StageRow::scroll(int step) {
  const int last = static_cast<int>(order_.size()) - shown_;
  first_ = std::clamp(first_ + step, 0, std::max(0, last));
  selected_ = order_[static_cast<size_t>(
      std::clamp(index_of(selected_), first_, std::max(first_, first_ + shown_ - 1)))];  // which stays in view
  lay_out();
}

void StageRow::mouseWheelMove(const juce::MouseEvent& event, const juce::MouseWheelDetails& wheel) {
  if (shown_ == static_cast<int>(order_.size())) return juce::Component::mouseWheelMove(event, wheel);
  const float delta = std::abs(wheel.deltaX) > std::abs(wheel.deltaY) ? -wheel.deltaX : wheel.deltaY;
  if (delta != 0) scroll(delta > 0 ? -1 : 1);
}

// Tiles that have no room are reached by arrows, keys and wheel; the selected one always has room.
void StageRow::lay_out() {
  auto area = getLocalBounds();
  const int count = static_cast<int>(order_.size());
  if (area.isEmpty() || count == 0) return;
  add_.setBounds(area.removeFromRight(theme::kButton).withSizeKeepingCentre(theme::kButton, theme::kButton));
  area.removeFromRight(theme::kGap / 2);
  const auto room_for = [&](int width) { return std::max(1, (width + kTileGap) / (kMinTile + kTileGap)); };
  const bool scrolls = room_for(area.getWidth()) < count;
  left_.setVisible(scrolls);
  right_.setVisible(scrolls);
  if (scrolls) {
    left_.setBounds(area.removeFromLeft(kScroll).withSizeKeepingCentre(kScroll, kScroll));
    right_.setBounds(area.removeFromRight(kScroll).withSizeKeepingCentre(kScroll, kScroll));
    area.reduce(theme::kGap / 2, 0);
  }
  shown_ = std::min(count, room_for(area.getWidth()));
  first_ = std::clamp(first_, 0, count - shown_);
  if (const int chosen = index_of(selected_); chosen >= 0) first_ = std::clamp(first_, chosen - shown_ + 1, chosen);
  left_.setEnabled(first_ > 0);
  right_.setEnabled(first_ + shown_ < count);
  const int width = std::min(kMaxTile, (area.getWidth() - (shown_ - 1) * kTileGap) / shown_);
  for (int i = 0; i < count; ++i) {
    auto* each = tile(order_[static_cast<size_t>(i)]);
    const bool has_room = i >= first_ && i < first_ + shown_;
    each->setVisible(has_room);
    if (!has_room) continue;
    each->setBounds(area.removeFromLeft(width));
    area.removeFromLeft(kTileGap);
    if (!scrolls) add_.setTopLeftPosition(each->getRight() + theme::kGap / 2, add_.getY());
  }
  repaint();
}

// The wire on which the tiles stand.
void StageRow::paint(juce::Graphics& g) {
  const auto area = getLocalBounds().toFloat();
  g.setColour(theme::kTrack);
  g.fillRect(area.withSizeKeepingCentre(area.getWidth(), 2).withRight(static_cast<float>(add_.getX())));
}

void StageRow::paintOverChildren(juce::Graphics& g) {
  if (!marked_gap_) return;
  const bool at_end = *marked_gap_ >= first_ + shown_;
  const auto beside = tile(order_[static_cast<size_t>(at_end ? first_ + shown_ - 1 : *marked_gap_)])->getBounds();
  const int x = at_end ? beside.getRight() + kTileGap / 2 : beside.getX() - kTileGap / 2;
  g.setColour(theme::kCopper);
  g.fillRoundedRectangle(juce::Rectangle<int>(x - 2, 0, 4, getHeight()).toFloat(), 2);
}

}  // namespace coil::plugin
