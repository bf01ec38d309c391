// Knobs and switches of a stage, and their layout.
#include "plugin/editor/stage_page.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "plugin/editor/knob_grid.h"
#include "plugin/editor/knob_words.h"
#include "plugin/editor/midi_target.h"
#include "plugin/editor/stage_row.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"

namespace coil::plugin {

// Turns one value of the stage.
class StagePage::ValueKnob final : public KnobFrame {
 public:
  explicit ValueKnob(const StageValue& value)
      : KnobFrame(knob_name(value.name), theme::kCopper), unit_(from_utf8(value.unit)) {
    juce::NormalisableRange<double> range(value.min, value.max);
    if (value.kind == StageValue::Kind::logarithmic)
      range = {value.min, value.max,
               [](double min, double max, double part) { return min * std::pow(max / min, part); },
               [](double min, double max, double at) { return std::log(at / min) / std::log(max / min); }};
    dial().setNormalisableRange(range);
    dial().setDoubleClickReturnValue(true, value.default_value);
    if (value.min < 0 && value.max > 0) dial().set_origin(0);
    dial().textFromValueFunction = [off = value.off, width = value.max - value.min](double at) {
      if (off && std::abs(at - *off) < 1e-6 * width) return juce::String("off");
      return number_text(at, std::min(width, 10 * std::max(1.0, std::abs(at))));
    };
    dial().valueFromTextFunction = [this](const juce::String& text) {
      return number_in(text).value_or(dial().getValue());
    };
    set_description(knob_description(value.description, value.min, value.max, value.default_value, value.unit));
    show(value.value);
  }

  void show(double value) {
    if (!dial().isMouseButtonDown()) dial().setValue(value, juce::dontSendNotification);
    refresh_text();
  }

 private:
  juce::String value_text() const override {
    const auto text = dial().textFromValueFunction(dial().getValue());
    return unit_.isEmpty() || !text.containsAnyOf("0123456789") ? text : text + " " + unit_;
  }

  juce::String unit_;
};

StagePage::StagePage(Parameters& parameters) : parameters_(parameters) {
  setTitle("Stage");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  title_.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  problem_.setFont(theme::font(theme::kTextNormal));
  problem_.setColour(juce::Label::textColourId, theme::kWarning);
  title_.setMinimumHorizontalScale(0.7f);
  for (auto* label : {&title_, &problem_}) label->setBorderSize({});
  power_.setClickingTogglesState(true);
  remove_.setTooltip("Takes this stage out of the chain (Delete on its tile); undo brings it back");
  remove_.setMouseClickGrabsKeyboardFocus(false);
  remove_.onClick = [this] { on_remove(number_); };
  close_.onClick = [this] { on_close(); };
  for (juce::Component* child : std::initializer_list<juce::Component*>{&title_, &power_, &remove_, &close_, &problem_})
    addChildComponent(child);
}

StagePage::~StagePage() = default;

void StagePage::show(int number, std::shared_ptr<const FurtherStage> stage, const juce::String& name,
                     const juce::String& problem) {
  const bool other = number != number_ || !stage_;
  number_ = number;
  stage_ = std::move(stage);
  title_.setText(name, juce::dontSendNotification);
  problem_.setText(capitalised(problem), juce::dontSendNotification);
  problem_.setTooltip(problem);
  problem_.setVisible(problem.isNotEmpty());
  for (juce::Component* child : std::initializer_list<juce::Component*>{&title_, &power_, &remove_, &close_})
    child->setVisible(true);
  if (other) {
    const auto& parameters = parameters_.further[static_cast<size_t>(number)];
    power_attachment_ = std::make_unique<juce::ButtonParameterAttachment>(*parameters.on, power_);
    set_midi_target(power_, *parameters.on);
    parameter_knob_ = std::make_unique<Knob>(*parameters.mix, "Mix", theme::kSteel);
    parameter_knob_->set_description("Blend with the sound before this stage. 0 to 100 %, usually 100 %");
    addAndMakeVisible(*parameter_knob_);
  }
  auto values = values_of(*stage_);
  const auto same = [](const StageValue& a, const StageValue& b) {
    return a.name == b.name && a.min == b.min && a.max == b.max;
  };
  if (other || !std::equal(values.begin(), values.end(), values_.begin(), values_.end(), same)) rebuild(values);
  values_ = std::move(values);
  for (size_t i = 0; i < values_.size(); ++i) {
    if (knobs_[i]) knobs_[i]->show(values_[i].value);
    if (switches_[i]) switches_[i]->setToggleState(values_[i].value > 0.5, juce::dontSendNotification);
  }
  resized();
  repaint();
}

void StagePage::show_gate() {
  stage_.reset();
  number_ = kGateTile;
  values_.clear();
  rebuild({});
  power_attachment_.reset();
  title_.setText("Gate of the model", juce::dontSendNotification);
  for (juce::Component* child : std::initializer_list<juce::Component*>{&power_, &remove_, &problem_})
    child->setVisible(false);
  for (juce::Component* child : std::initializer_list<juce::Component*>{&title_, &close_}) child->setVisible(true);
  parameter_knob_ = std::make_unique<Knob>(*parameters_.gate_threshold, "Threshold", theme::kSteel);
  parameter_knob_->set_description("Mutes the model's output while its input is softer. -100 (off) to 0 dBFS");
  addAndMakeVisible(*parameter_knob_);
  resized();
  repaint();
}

void StagePage::rebuild(const std::vector<StageValue>& values) {
  knobs_.clear();
  switches_.clear();
  for (size_t i = 0; i < values.size(); ++i) {
    auto& knob = knobs_.emplace_back();
    auto& button = switches_.emplace_back();
    if (values[i].kind == StageValue::Kind::on_off) {
      const auto name = knob_name(values[i].name);
      button = std::make_unique<juce::TextButton>(name);
      button->setTitle(name);
      button->setTooltip(juce::String::fromUTF8(values[i].description.c_str()));
      button->setClickingTogglesState(true);
      button->setMouseClickGrabsKeyboardFocus(false);
      button->onClick = [this, i] {
        is_step_ = true;
        edit(i, switches_[i]->getToggleState() ? 1 : 0);
      };
      addAndMakeVisible(*button);
    } else {
      knob = std::make_unique<ValueKnob>(values[i]);
      knob->dial().onDragStart = [this] { is_step_ = true; };
      knob->dial().onValueChange = [this, i] {
        knobs_[i]->refresh_text();
        edit(i, knobs_[i]->dial().getValue());
      };
      addAndMakeVisible(*knob);
    }
  }
}

void StagePage::edit(size_t value, double to) {
  if (!stage_ || to == values_[value].value) return;
  dsp::RigStage settings = stage_->rig;
  values_[value].set(settings, to);
  on_edit(number_, settings, std::exchange(is_step_, false));
}

void StagePage::paint(juce::Graphics& g) {
  g.fillAll(theme::kBackground);
  theme::fill_panel(g, panel_.toFloat());
}

void StagePage::resized() {
  constexpr int kRemoveWidth = 76, kSwitchWidth = 86;
  auto area = getLocalBounds().reduced(theme::kPad, 0).withTrimmedBottom(theme::kGap);
  auto head = area.removeFromTop(theme::kButton + theme::kGap / 2);
  const auto place = [&](juce::Component& component, int width) {
    if (!component.isVisible()) return;
    component.setBounds(head.removeFromRight(width).withSizeKeepingCentre(width, theme::kButton));
    head.removeFromRight(theme::kGap);
  };
  place(close_, theme::kButton);
  place(remove_, kRemoveWidth);
  if (power_.isVisible())
    power_.setBounds(head.removeFromLeft(theme::kButton).withSizeKeepingCentre(theme::kButton, theme::kButton));
  head.removeFromLeft(theme::kGap / 2);
  title_.setBounds(head);
  if (problem_.isVisible()) problem_.setBounds(area.removeFromTop(2 * theme::kRow));
  panel_ = area;

  std::vector<juce::Component*> knobs, buttons;
  for (const auto& knob : knobs_)
    if (knob) knobs.push_back(knob.get());
  if (parameter_knob_) knobs.push_back(parameter_knob_.get());
  for (const auto& button : switches_)
    if (button) buttons.push_back(button.get());
  if (!buttons.empty()) {
    auto row = area.removeFromBottom(theme::kRow + theme::kGap).withTrimmedBottom(theme::kGap);
    const int count = static_cast<int>(buttons.size());
    row = row.withSizeKeepingCentre(std::min(row.getWidth(), count * (kSwitchWidth + theme::kGap)), row.getHeight());
    for (auto* button : buttons)
      button->setBounds(row.removeFromLeft(kSwitchWidth + theme::kGap).reduced(theme::kGap / 2, 0));
  }
  const auto areas = knob_grid(static_cast<int>(knobs.size()), area);
  for (size_t i = 0; i < areas.size(); ++i) knobs[i]->setBounds(areas[i]);
}

}  // namespace coil::plugin
