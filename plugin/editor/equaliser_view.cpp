// Grid, curves, and the behaviour of handles.
#include "plugin/editor/equaliser_view.h"

#include <algorithm>
#include <cmath>

#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kHandle = 18, kAxisHeight = 14;
constexpr float kFine = 0.1f, kKeyStep = 0.02f, kWheelStep = 0.1f;
constexpr std::array<float, 9> kMarks_hz{50, 100, 200, 500, 1000, 2000, 5000, 10000, 20};
constexpr std::array<float, 3> kLines_db{-12, 0, 12};

float value_of(const juce::RangedAudioParameter& parameter) { return parameter.convertFrom0to1(parameter.getValue()); }

juce::String frequency_text(float hz) {
  return hz >= 1000 ? juce::String(juce::roundToInt(hz / 1000)) + "k" : juce::String(juce::roundToInt(hz));
}

}  // namespace

EqualiserView::Handle::Handle(EqualiserView& view, const juce::String& name, const juce::String& sign,
                              juce::RangedAudioParameter& hz, juce::RangedAudioParameter* gain,
                              juce::RangedAudioParameter* q)
    : view_(view), name_(name), sign_(sign), hz_(hz), gain_(gain), q_(q) {
  setTitle(name);
  setWantsKeyboardFocus(true);
  setMouseCursor(juce::MouseCursor::DraggingHandCursor);
  setSize(kHandle, kHandle);
}

juce::String EqualiserView::Handle::text() const {
  const auto value = [](const juce::RangedAudioParameter& parameter) {
    const auto now = parameter.getCurrentValueAsText();
    return now == "off" ? now : (now + " " + parameter.getLabel()).trim();
  };
  juce::String said = name_ + ": " + value(hz_);
  if (gain_) said << ", " << value(*gain_);
  if (q_) said << ", Q " << value(*q_);
  return said;
}

void EqualiserView::Handle::follow() {
  setCentrePosition(place().roundToInt());
  const juce::String said = text();
  if (said == getDescription()) return;
  setDescription(said);
  setTooltip(said + (gain_ ? ". Drag, or arrow keys; the wheel or Page Up and Down for Q; double click: flat"
                           : ". Drag, or arrow keys; double click: off"));
}

juce::Point<float> EqualiserView::Handle::place() const {
  const auto inside = view_.getLocalBounds().toFloat().reduced(kHandle / 2.0f);
  return inside.getConstrainedPoint({view_.x_of(value_of(hz_)), view_.y_of(gain_ ? value_of(*gain_) : 0.0f)});
}

void EqualiserView::Handle::end() {
  for (auto* parameter : std::exchange(held_, {})) parameter->endChangeGesture();
}

// Hosts write automation while a parameter is touched. So only the parameters that move are reported as touched.
void EqualiserView::Handle::move(float across, float up, float q) {
  const auto by = [this](juce::RangedAudioParameter* parameter, float part) {
    if (!parameter || part == 0) return;
    if (std::find(held_.begin(), held_.end(), parameter) == held_.end()) {
      held_.push_back(parameter);
      parameter->beginChangeGesture();
    }
    parameter->setValueNotifyingHost(juce::jlimit(0.0f, 1.0f, parameter->getValue() + part));
  };
  by(&hz_, across);
  by(gain_, up);
  by(q_, q);
  view_.tick(view_.sample_rate_hz_);
}

void EqualiserView::Handle::mouseDown(const juce::MouseEvent& event) {
  grip_ = event.getEventRelativeTo(&view_).position - place();
  toFront(true);
}

void EqualiserView::Handle::mouseDrag(const juce::MouseEvent& event) {
  const auto at = event.getEventRelativeTo(&view_).position - grip_;
  const auto& plot = view_.plot_;
  const float part = (at.x - plot.getX()) / plot.getWidth();
  const float hz = kLowHz * std::pow(kHighHz / kLowHz, juce::jlimit(0.0f, 1.0f, part));
  const float db = kMostDb * (1 - 2 * (at.y - plot.getY()) / plot.getHeight());
  const auto way = [](const juce::RangedAudioParameter& parameter, float value) {
    const auto& range = parameter.getNormalisableRange();
    return parameter.convertTo0to1(juce::jlimit(range.start, range.end, value)) - parameter.getValue();
  };
  move(way(hz_, hz), gain_ ? way(*gain_, db) : 0, 0);
}

void EqualiserView::Handle::mouseUp(const juce::MouseEvent&) { end(); }

void EqualiserView::Handle::mouseDoubleClick(const juce::MouseEvent&) {
  auto& parameter = gain_ ? *gain_ : hz_;
  const float way = parameter.convertTo0to1(gain_ ? 0.0f : parameter.convertFrom0to1(parameter.getDefaultValue())) -
                    parameter.getValue();
  move(gain_ ? 0 : way, gain_ ? way : 0, 0);
  end();
}

void EqualiserView::Handle::mouseWheelMove(const juce::MouseEvent& event, const juce::MouseWheelDetails& wheel) {
  const float delta = std::abs(wheel.deltaY) > std::abs(wheel.deltaX) ? wheel.deltaY : -wheel.deltaX;
  if (!q_ || delta == 0) return;
  const bool dragged = isMouseButtonDown();
  move(0, 0, (wheel.isReversed ? -delta : delta) * kWheelStep * (event.mods.isShiftDown() ? kFine : 1));
  if (!dragged) end();
}

bool EqualiserView::Handle::keyPressed(const juce::KeyPress& key) {
  const auto mods = key.getModifiers();
  if (mods.isCommandDown() || mods.isAltDown()) return false;
  const float step = kKeyStep * (mods.isShiftDown() ? kFine : 1);
  const auto does = [&](float across, float up, float q) {
    move(across, up, q);
    end();
    return true;
  };
  const int code = key.getKeyCode();
  if (code == juce::KeyPress::leftKey) return does(-step, 0, 0);
  if (code == juce::KeyPress::rightKey) return does(step, 0, 0);
  if (code == juce::KeyPress::upKey && gain_) return does(0, step, 0);
  if (code == juce::KeyPress::downKey && gain_) return does(0, -step, 0);
  if (code == juce::KeyPress::pageUpKey && q_) return does(0, 0, step);
  if (code == juce::KeyPress::pageDownKey && q_) return does(0, 0, -step);
  if (code == juce::KeyPress::backspaceKey || code == juce::KeyPress::deleteKey) {
    auto& parameter = gain_ ? *gain_ : hz_;
    const float way = parameter.getDefaultValue() - parameter.getValue();
    return does(gain_ ? 0 : way, gain_ ? way : 0, 0);
  }
  return false;
}

void EqualiserView::Handle::focusGained(FocusChangeType cause) {
  focus_by_key_ = cause != focusChangedByMouseClick;
  repaint();
}

void EqualiserView::Handle::focusLost(FocusChangeType) {
  focus_by_key_ = false;
  repaint();
}

std::unique_ptr<juce::AccessibilityHandler> EqualiserView::Handle::createAccessibilityHandler() {
  return std::make_unique<juce::AccessibilityHandler>(*this, juce::AccessibilityRole::slider);
}

void EqualiserView::Handle::paint(juce::Graphics& g) {
  const auto area = getLocalBounds().toFloat().reduced(2);
  const bool lit = isMouseOverOrDragging() || focus_by_key_;
  g.setColour(lit ? theme::kHover : theme::kRaised);
  g.fillEllipse(area);
  g.setColour(view_.shown_on_ ? theme::kCopper : theme::kTextFaint);
  g.drawEllipse(area.reduced(0.5f), 1.3f);
  if (focus_by_key_) {
    g.setColour(theme::kFocus);
    g.drawEllipse(getLocalBounds().toFloat().reduced(theme::kFocusWidth / 2), theme::kFocusWidth);
  }
  g.setColour(lit ? theme::kText : theme::kTextSoft);
  g.setFont(theme::font(9, theme::Weight::strong));
  g.drawText(sign_, getLocalBounds(), juce::Justification::centred);
}

EqualiserView::EqualiserView(Parameters& parameters) : parameters_(parameters) {
  setTitle("Equaliser");
  setTooltip("The equaliser (copper), 20 Hz to 20 kHz, -24 to 24 dB, and the cabinet (steel). Drag the handles");
  setFocusContainerType(FocusContainerType::focusContainer);
  shown_ = parameters.equaliser();
  shown_on_ = parameters.equaliser_on->get();
  const auto add = [&](const juce::String& name, const juce::String& sign, juce::RangedAudioParameter& hz,
                       juce::RangedAudioParameter* gain, juce::RangedAudioParameter* q) {
    handles_.push_back(std::make_unique<Handle>(*this, name, sign, hz, gain, q));
    addAndMakeVisible(*handles_.back());
  };
  add("Low cut", "L", *parameters.low_cut, nullptr, nullptr);
  const char* const names[] = {"Low shelf", "Low mid", "High mid", "High shelf"};
  for (size_t i = 0; i < parameters.bands.size(); ++i) {
    const auto& band = parameters.bands[i];
    add(names[i], juce::String(i + 1), *band.frequency, band.gain, band.q);
  }
  add("High cut", "H", *parameters.high_cut, nullptr, nullptr);
}

void EqualiserView::tick(double sample_rate_hz) {
  const double rate_hz = sample_rate_hz > 0 ? sample_rate_hz : 48000;
  const auto now = parameters_.equaliser();
  const bool on = parameters_.equaliser_on->get();
  if (now == shown_ && on == shown_on_ && rate_hz == sample_rate_hz_) return;
  shown_ = now;
  shown_on_ = on;
  sample_rate_hz_ = rate_hz;
  place_handles();
  repaint();
}

void EqualiserView::show_cabinet(std::vector<float> gains_db) {
  if (gains_db == cabinet_db_) return;
  cabinet_db_ = std::move(gains_db);
  repaint();
}

void EqualiserView::place_handles() {
  for (auto& handle : handles_) handle->follow();
}

void EqualiserView::resized() {
  plot_ = getLocalBounds().reduced(kHandle / 2, theme::kGap).withTrimmedBottom(kAxisHeight).toFloat();
  place_handles();
}

float EqualiserView::x_of(float hz) const {
  return plot_.getX() + plot_.getWidth() * std::log(hz / kLowHz) / std::log(kHighHz / kLowHz);
}

float EqualiserView::y_of(float db) const {
  return plot_.getCentreY() - plot_.getHeight() / 2 * juce::jlimit(-kMostDb, kMostDb, db) / kMostDb;
}

void EqualiserView::paint(juce::Graphics& g) {
  theme::fill_panel(g, getLocalBounds().toFloat());
  g.setFont(theme::font(theme::kTextSmall));
  for (const float db : kLines_db) {
    g.setColour(theme::kLine.withAlpha(db == 0 ? 1.0f : 0.55f));
    g.fillRect(plot_.getX(), y_of(db), plot_.getWidth(), theme::kHairline);
    g.setColour(theme::kTextFaint);
    g.drawText(juce::String(juce::roundToInt(db)) + (db > 0 ? " dB" : ""),
               juce::Rectangle<float>(plot_.getX(), y_of(db) - kAxisHeight, plot_.getWidth() - kHandle, kAxisHeight),
               juce::Justification::centredRight);
  }
  for (const float hz : kMarks_hz) {
    if (hz == kLowHz) continue;
    g.setColour(theme::kLine.withAlpha(0.55f));
    g.fillRect(x_of(hz), plot_.getY(), theme::kHairline, plot_.getHeight());
    g.setColour(theme::kTextFaint);
    g.drawText(frequency_text(hz),
               juce::Rectangle<float>(2 * theme::kRow, kAxisHeight)
                   .withCentre({x_of(hz), plot_.getBottom() + kAxisHeight / 2.0f + 2}),
               juce::Justification::centred);
  }

  const juce::Graphics::ScopedSaveState clip(g);
  g.reduceClipRegion(plot_.getSmallestIntegerContainer());
  if (!cabinet_db_.empty()) {
    juce::Path line;
    for (size_t i = 0; i < cabinet_db_.size(); ++i) {
      const float x = plot_.getX() + plot_.getWidth() * static_cast<float>(i) / static_cast<float>(kCabinetPoints - 1);
      const juce::Point<float> point(x, y_of(cabinet_db_[i]));
      i == 0 ? line.startNewSubPath(point) : line.lineTo(point);
    }
    const bool on = parameters_.cabinet_on->get();
    g.setColour(theme::kSteel.withAlpha(on ? 0.85f : 0.3f));
    g.strokePath(line, juce::PathStrokeType(1.3f, juce::PathStrokeType::curved));
    line.lineTo(plot_.getBottomRight());
    line.lineTo(plot_.getBottomLeft());
    line.closeSubPath();
    g.setColour(theme::kSteel.withAlpha(on ? 0.13f : 0.05f));
    g.fillPath(line);
  }
  juce::Path curve;
  constexpr float kStep = 2;
  for (float x = plot_.getX(); x <= plot_.getRight(); x += kStep) {
    const float part = (x - plot_.getX()) / plot_.getWidth();
    const double hz = static_cast<double>(kLowHz * std::pow(kHighHz / kLowHz, part));
    const double most_hz = 0.499 * sample_rate_hz_;
    const juce::Point<float> point(
        x, y_of(static_cast<float>(dsp::response_db(shown_, std::min(hz, most_hz), sample_rate_hz_))));
    x == plot_.getX() ? curve.startNewSubPath(point) : curve.lineTo(point);
  }
  g.setColour(theme::kCopper.withAlpha(shown_on_ ? 1.0f : 0.35f));
  g.strokePath(curve, juce::PathStrokeType(1.8f, juce::PathStrokeType::curved));
}

}  // namespace coil::plugin
