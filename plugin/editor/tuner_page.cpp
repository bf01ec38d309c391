// Listening, and drawing of note, needle and strobe.
#include "plugin/editor/tuner_page.h"

#include <algorithm>
#include <cmath>

#include "plugin/editor/theme.h"
#include "plugin/processor.h"

namespace coil::plugin {
namespace {

constexpr float kLookEverySeconds = 0.06f, kForgottenSeconds = 1.5f;
constexpr double kFollow = 0.5;  // how far each look moves the needle towards the latest reading
constexpr int kStrobeBands = 3, kStripes = 5;
constexpr float kMostCents = 50;

juce::String note_name(int midi_note) {
  static constexpr const char* kNames[] = {"C", "C\xe2\x99\xaf", "D", "E\xe2\x99\xad", "E", "F", "F\xe2\x99\xaf",
                                           "G", "A\xe2\x99\xad", "A", "B\xe2\x99\xad", "B"};
  return juce::String::fromUTF8(kNames[(midi_note % 12 + 12) % 12]);
}

juce::String octave(int midi_note) { return juce::String(static_cast<int>(std::floor(midi_note / 12.0)) - 1); }

juce::String cents_text(double cents) {
  const double rounded = std::round(10 * cents) / 10;
  return (rounded > 0 ? "+" : "") + juce::String(std::abs(rounded) < 0.05 ? 0.0 : rounded, 1) + " cents";
}

}  // namespace

TunerPage::TunerPage(Processor& processor) : processor_(processor) {
  setTitle("Tuner");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  title_.setText("Tuner", juce::dontSendNotification);
  title_.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  a4_name_.setText("A4", juce::dontSendNotification);
  a4_name_.setFont(theme::font(theme::kTextNormal));
  a4_name_.setJustificationType(juce::Justification::centredRight);
  for (auto* label : {&title_, &a4_name_}) label->setBorderSize({});
  a4_.setRange(kLowestA4_hz, kHighestA4_hz, 0.5);
  a4_.setTitle("Pitch of A4");
  a4_.setTooltip("The pitch that A4 is to have, 415 to 466 Hz; double click: 440");
  a4_.setTextValueSuffix(" Hz");
  a4_.setDoubleClickReturnValue(true, 440);
  a4_.setValue(processor.a4_hz(), juce::dontSendNotification);
  a4_.setTextBoxStyle(juce::Slider::TextBoxLeft, false, 64, theme::kRow);
  a4_.onValueChange = [this] { processor_.set_a4_hz(a4_.getValue()); };
  mute_.setTitle("Mute while tuning");
  mute_.setTooltip("Nothing sounds while the tuner is open");
  mute_.setToggleState(processor.tuner_mutes(), juce::dontSendNotification);
  mute_.onClick = [this] { processor_.set_tuner_mutes(mute_.getToggleState()); };
  mute_.setMouseClickGrabsKeyboardFocus(false);
  close_.onClick = [this] { on_close(); };
  for (juce::Component* child : std::initializer_list<juce::Component*>{&title_, &mute_, &a4_name_, &a4_, &close_})
    addAndMakeVisible(child);
}

void TunerPage::visibilityChanged() {
  shown_.reset();
  if (isVisible())
    listening_.emplace(processor_.tap());
  else
    listening_.reset();
}

void TunerPage::listen() {
  SoundTap& tap = processor_.tap();
  const double rate_hz = tap.sample_rate_hz();
  const size_t written = tap.frames_written(SoundTap::Side::input);
  if (rate_hz <= 0 || written == frames_written_) return;
  frames_written_ = written;
  if (!tuner_ || rate_hz != sample_rate_hz_) {
    tuner_ = std::make_unique<dsp::Tuner>(rate_hz);
    sample_rate_hz_ = rate_hz;
  }
  frames_.assign(std::min(tuner_->piece_frames(), SoundTap::kFrames), 0.0f);
  tap.read_latest(SoundTap::Side::input, frames_);
  const dsp::Pitch pitch = tuner_->find(frames_);
  if (pitch.hz <= 0) return;
  const dsp::TunedNote note = dsp::note_of(pitch.hz, processor_.a4_hz());
  if (!shown_ || shown_->note.midi_note != note.midi_note) shown_ = Shown{note, pitch.hz, note.cents};
  shown_->hz += kFollow * (pitch.hz - shown_->hz);
  shown_->cents += kFollow * (note.cents - shown_->cents);
  shown_->age_s = 0;
  setDescription(note_name(note.midi_note) + octave(note.midi_note) + ", " + cents_text(shown_->cents));
}

void TunerPage::tick(float seconds) {
  const bool was_shown = shown_.has_value();
  since_look_s_ += seconds;
  if (since_look_s_ >= kLookEverySeconds) {
    since_look_s_ = 0;
    listen();
  }
  if (shown_) {
    shown_->age_s += seconds;
    const double wanted_hz = shown_->hz * std::exp2(-shown_->cents / 1200);
    shown_->phase += (shown_->hz - wanted_hz) * static_cast<double>(seconds);
    if (shown_->age_s > kForgottenSeconds) {
      shown_.reset();
      setDescription("no note");
    }
  }
  if (shown_ || was_shown) repaint();
}

bool TunerPage::keyPressed(const juce::KeyPress& key) {
  if (key != juce::KeyPress::escapeKey) return false;
  on_close();
  return true;
}

void TunerPage::paint(juce::Graphics& g) {
  g.fillAll(theme::kBackground);
  theme::fill_panel(g, note_area_.getUnion(needle_area_).toFloat());
  theme::fill_panel(g, strobe_area_.toFloat());
  paint_note(g);
  paint_needle(g);
  paint_strobe(g);
}

void TunerPage::paint_note(juce::Graphics& g) const {
  auto area = note_area_.reduced(theme::kPad);
  auto text = area.removeFromBottom(theme::kRow);
  if (!shown_) {
    g.setFont(theme::font(theme::kTextTitle));
    g.setColour(theme::kTextFaint);
    g.drawText("Play one string", area, juce::Justification::centred);
    return;
  }
  const float alpha = juce::jlimit(0.25f, 1.0f, 1.3f - shown_->age_s / kForgottenSeconds);
  g.setColour((shown_->is_in_tune() ? theme::kFocus : theme::kText).withAlpha(alpha));
  g.setFont(theme::font(static_cast<float>(std::min(area.getHeight(), 150)), theme::Weight::strong));
  const juce::String name = note_name(shown_->note.midi_note);
  const int width = g.getCurrentFont().getStringWidth(name);
  g.drawText(name, area, juce::Justification::centred);
  g.setFont(theme::font(static_cast<float>(std::min(area.getHeight(), 150)) * 0.3f));
  g.drawText(octave(shown_->note.midi_note), area.withLeft(area.getCentreX() + width / 2 + theme::kGap / 2),
             juce::Justification::bottomLeft);
  g.setFont(theme::font(theme::kTextNormal));
  g.setColour(theme::kTextSoft.withAlpha(alpha));
  g.drawText(cents_text(shown_->cents), text.removeFromLeft(text.getWidth() / 2).withTrimmedRight(theme::kPad),
             juce::Justification::centredRight);
  g.drawText(juce::String(shown_->hz, 2) + " Hz", text.withTrimmedLeft(theme::kPad), juce::Justification::centredLeft);
}

void TunerPage::paint_needle(juce::Graphics& g) const {
  const auto area =
      needle_area_.toFloat().reduced(static_cast<float>(2 * theme::kPad), static_cast<float>(theme::kGap));
  const auto x_of = [&](double cents) {
    return area.getCentreX() + area.getWidth() / 2 * juce::jlimit(-1.0f, 1.0f, static_cast<float>(cents) / kMostCents);
  };
  g.setFont(theme::font(theme::kTextSmall));
  for (int cents = -50; cents <= 50; cents += 5) {
    const bool is_long = cents % 25 == 0;
    const float height = area.getHeight() * (cents == 0 ? 0.62f : is_long ? 0.4f : 0.22f);
    g.setColour(cents == 0 ? theme::kText : is_long ? theme::kTextSoft : theme::kLine.brighter(0.5f));
    g.fillRect(x_of(cents) - theme::kHairline / 2, area.getY(), theme::kHairline, height);
    if (is_long) {
      g.setColour(theme::kTextFaint);
      g.drawText((cents > 0 ? "+" : "") + juce::String(cents),
                 juce::Rectangle<float>(48, 14).withCentre({x_of(cents), area.getBottom() - 7}),
                 juce::Justification::centred);
    }
  }
  if (!shown_) return;
  const float x = x_of(shown_->cents), height = area.getHeight() * 0.62f;
  juce::Path needle;
  needle.addTriangle(x - 7, area.getY() - 2, x + 7, area.getY() - 2, x, area.getY() + height);
  g.setColour(shown_->is_in_tune() ? theme::kFocus : shown_->cents < 0 ? theme::kSteel : theme::kCopper);
  g.fillPath(needle);
}

// Each band turns twice as fast as the one below it: the lowest is for coarse tuning, the highest for the last cent.
void TunerPage::paint_strobe(juce::Graphics& g) const {
  auto area = strobe_area_.reduced(theme::kPad, theme::kGap);
  const int height = area.getHeight() / kStrobeBands;
  const juce::Graphics::ScopedSaveState clip(g);
  for (int band = 0; band < kStrobeBands; ++band) {
    const auto row = area.removeFromTop(height).reduced(0, 2).toFloat();
    g.setColour(theme::kTrack.withAlpha(0.5f));
    g.fillRoundedRectangle(row, theme::kCorner);
    if (!shown_) continue;
    const int stripes = kStripes << band;
    const float width = row.getWidth() / static_cast<float>(stripes);
    const double turned = shown_->phase * (1 << band);
    const float offset = static_cast<float>(turned - std::floor(turned)) * width;
    g.setColour((shown_->is_in_tune() ? theme::kFocus : theme::kCopper).withAlpha(0.85f));
    for (int i = -1; i <= stripes; ++i) {
      const juce::Rectangle<float> stripe(row.getX() + offset + static_cast<float>(i) * width, row.getY(), width / 2,
                                          row.getHeight());
      g.fillRect(stripe.getIntersection(row));
    }
  }
}

void TunerPage::resized() {
  constexpr int kA4Width = 132, kA4NameWidth = 24, kMuteWidth = 70;
  auto area = getLocalBounds().reduced(theme::kPad, 0).withTrimmedBottom(theme::kGap);
  auto head = area.removeFromTop(theme::kHeaderHeight - theme::kGap);
  const auto place = [&](juce::Component& component, int width, int height) {
    component.setBounds(head.removeFromRight(width).withSizeKeepingCentre(width, height));
    head.removeFromRight(theme::kGap);
  };
  place(close_, theme::kButton, theme::kButton);
  place(a4_, kA4Width, theme::kRow);
  place(a4_name_, kA4NameWidth, theme::kRow);
  place(mute_, kMuteWidth, theme::kRow);
  title_.setBounds(head);
  strobe_area_ = area.removeFromBottom(area.getHeight() * 3 / 10);
  area.removeFromBottom(theme::kGap);
  needle_area_ = area.removeFromBottom(std::min(90, area.getHeight() / 3));
  note_area_ = area;
}

}  // namespace coil::plugin
