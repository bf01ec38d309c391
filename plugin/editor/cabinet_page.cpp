// Layout of the page, its microphones, and the curve of the cabinet.
#include "plugin/editor/cabinet_page.h"

#include <juce_dsp/juce_dsp.h>

#include <algorithm>
#include <cmath>

#include "plugin/editor/midi_target.h"
#include "plugin/editor/theme.h"

namespace coil::plugin {
namespace {

constexpr int kFftOrder = 14, kPanelHeight = 118, kInvertWidth = 58;

// "-3.0 dB", under a dial.
juce::String level_text(double db) { return juce::String(db, 1) + " dB"; }
juce::String pan_text(double pan) {
  const int percent = juce::roundToInt(100 * std::abs(pan));
  return percent == 0 ? juce::String("middle") : juce::String(percent) + (pan < 0 ? " % left" : " % right");
}
juce::String delay_text(double ms) { return juce::String(ms, 2) + " ms"; }

}  // namespace

juce::Colour CabinetPage::MicrophonePanel::theme_colour() { return theme::kSteel; }

CabinetPage::MicrophonePanel::MicrophonePanel(Processor& processor, int microphone)
    : processor_(processor),
      microphone_(microphone),
      previous_(Icon::previous, "Previous cabinet for microphone " + juce::String(microphone + 1),
                "Previous cabinet of the library"),
      next_(Icon::next, "Next cabinet for microphone " + juce::String(microphone + 1), "Next cabinet of the library"),
      clear_(Icon::close, "Remove the response of microphone " + juce::String(microphone + 1),
             "Removes this impulse response from the cabinet") {
  const juce::String which = "microphone " + juce::String(microphone + 1);
  setTitle("Microphone " + juce::String(microphone + 1));
  setFocusContainerType(FocusContainerType::focusContainer);
  previous_.onClick = [this] { load_neighbour(-1); };
  next_.onClick = [this] { load_neighbour(1); };
  file_.onClick = [this] { on_choose(file_); };
  clear_.onClick = [this] { processor_.clear_response(microphone_); };
  const auto prepare = [&](Dial& dial, const juce::String& name, double min, double max, double step, double origin,
                           juce::String (*text)(double), const juce::String& tooltip) {
    dial.setRange(min, max, step);
    dial.setTitle(name + " of " + which);
    dial.setTooltip(tooltip);
    dial.setDescription(tooltip);
    dial.set_origin(origin);
    dial.setDoubleClickReturnValue(true, origin);
    dial.textFromValueFunction = text;
    dial.onDragStart = [this] { is_step_ = true; };
    dial.onValueChange = [this] { moved(); };
  };
  prepare(level_, "Level", kMinMicrophoneDb, kMaxMicrophoneDb, 0.1, 0, level_text,
          "Level beside the other microphone, in dB; the blend stays as loud as the sound before the cabinet");
  prepare(pan_, "Pan", -1, 1, 0.01, 0, pan_text, "From left to right; without effect in mono");
  prepare(delay_, "Delay", 0, double(dsp::kMaxMicrophoneDelayMs), 0.01, 0, delay_text,
          "Delay beside the other microphone, 0 to 20 ms: its distance");
  invert_.setClickingTogglesState(true);
  invert_.setTooltip("Turns the polarity of this microphone");
  invert_.setTitle("Invert " + which);
  invert_.onClick = [this] {
    is_step_ = true;
    moved();
  };
  for (juce::Button* button : {static_cast<juce::Button*>(&file_), static_cast<juce::Button*>(&invert_)})
    button->setMouseClickGrabsKeyboardFocus(false);
  for (juce::Component* child :
       std::initializer_list<juce::Component*>{&previous_, &file_, &next_, &clear_, &level_, &pan_, &delay_, &invert_})
    addAndMakeVisible(child);
  update();
}

void CabinetPage::MicrophonePanel::load_neighbour(int step) {
  const auto cabinets = processor_.library().cabinets();
  if (cabinets.empty()) return;
  const auto now = processor_.microphone(microphone_);
  const auto at = std::find_if(cabinets.begin(), cabinets.end(),
                               [&](const auto& entry) { return entry.file == now.file || entry.name == now.name; });
  const auto count = static_cast<int>(cabinets.size());
  const int from = at != cabinets.end() ? static_cast<int>(at - cabinets.begin()) : step > 0 ? -1 : count;
  on_load(cabinets[static_cast<size_t>((from + step + count) % count)].file);
}

MicrophoneSettings CabinetPage::MicrophonePanel::settings() const {
  return {static_cast<float>(level_.getValue()), static_cast<float>(pan_.getValue()),
          static_cast<float>(delay_.getValue()), invert_.getToggleState()};
}

void CabinetPage::MicrophonePanel::moved() {
  repaint();
  if (settings() == processor_.microphone(microphone_).settings) return;
  processor_.set_microphone(microphone_, settings(), std::exchange(is_step_, false));
}

void CabinetPage::MicrophonePanel::update() {
  using Kind = MicrophoneStatus::Kind;
  const auto status = processor_.microphone(microphone_);
  const bool there = status.kind != Kind::empty;
  const juce::String name = status.kind == Kind::empty     ? "Choose a cabinet"
                            : status.kind == Kind::loading ? status.name + juce::String::fromUTF8(" \xe2\x80\xa6")
                            : status.kind == Kind::missing ? status.name + " (missing)"
                                                           : status.name;
  file_.setButtonText(name);
  file_.setTitle("Microphone " + juce::String(microphone_ + 1) + ": " + name);
  file_.setTooltip((status.file != juce::File() ? status.file.getFullPathName() + "\n" : juce::String()) +
                   "Offers the cabinets of the library and files (WAV, AIFF, FLAC), which can be dropped here as well");
  clear_.setVisible(there);
  for (Dial* dial : {&level_, &pan_, &delay_}) dial->setEnabled(there);
  invert_.setEnabled(there);
  level_.setValue(double(status.settings.level_db), juce::dontSendNotification);
  pan_.setValue(double(status.settings.pan), juce::dontSendNotification);
  delay_.setValue(double(status.settings.delay_ms), juce::dontSendNotification);
  invert_.setToggleState(status.settings.inverted, juce::dontSendNotification);
  resized();
  repaint();
}

void CabinetPage::MicrophonePanel::paint(juce::Graphics& g) {
  theme::fill_panel(g, getLocalBounds().toFloat());
  g.setFont(theme::font(theme::kTextSmall));
  const auto label = [&](const Dial& dial, const char* name) {
    const auto area = dial.getBounds().expanded(theme::kGap, 0);
    const float alpha = dial.isEnabled() ? 1.0f : 0.5f;
    g.setColour(theme::kTextSoft.withMultipliedAlpha(alpha));
    g.drawText(name, area.withHeight(14).translated(0, -14), juce::Justification::centred);
    g.setColour(theme::kText.withMultipliedAlpha(alpha));
    g.drawText(dial.textFromValueFunction(dial.getValue()), area.withY(area.getBottom()).withHeight(14),
               juce::Justification::centred);
  };
  label(level_, "Level");
  label(pan_, "Pan");
  label(delay_, "Delay");
}

void CabinetPage::MicrophonePanel::resized() {
  constexpr int kText = 14, kDial = 42;
  auto area = getLocalBounds().reduced(theme::kGap);
  auto head = area.removeFromTop(theme::kRow);
  if (clear_.isVisible()) clear_.setBounds(head.removeFromRight(theme::kRow));
  previous_.setBounds(head.removeFromLeft(theme::kRow));
  next_.setBounds(head.removeFromRight(theme::kRow));
  file_.setBounds(head.reduced(theme::kGap / 4, 0));
  area.removeFromTop(theme::kGap / 2 + kText);
  area.removeFromBottom(kText);
  invert_.setBounds(area.removeFromRight(kInvertWidth).withSizeKeepingCentre(kInvertWidth, theme::kRow));
  const int width = area.getWidth() / 3, dial = std::min({kDial, area.getHeight(), width - theme::kGap});
  for (Dial* each : {&level_, &pan_, &delay_})
    each->setBounds(area.removeFromLeft(width).withSizeKeepingCentre(dial, dial));
}

CabinetPage::CabinetPage(Processor& processor)
    : processor_(processor),
      equaliser_(processor.parameters()),
      cabinet_attachment_(*processor.parameters().cabinet_on, cabinet_on_),
      equaliser_attachment_(*processor.parameters().equaliser_on, equaliser_on_) {
  setTitle("Cabinet and equaliser");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  title_.setText("Cabinet and equaliser", juce::dontSendNotification);
  title_.setFont(theme::font(theme::kTextLarge, theme::Weight::strong));
  cabinet_name_.setText("Cabinet", juce::dontSendNotification);
  equaliser_name_.setText("Equaliser", juce::dontSendNotification);
  for (auto* label : {&cabinet_name_, &equaliser_name_}) label->setFont(theme::font(theme::kTextNormal));
  for (auto* label : {&title_, &cabinet_name_, &equaliser_name_}) label->setBorderSize({});
  close_.onClick = [this] { on_close(); };
  cabinet_on_.setClickingTogglesState(true);
  equaliser_on_.setClickingTogglesState(true);
  cabinet_on_.set_colour_when_on(theme::kSteel);
  set_midi_target(cabinet_on_, *processor.parameters().cabinet_on);
  set_midi_target(equaliser_on_, *processor.parameters().equaliser_on);
  for (int i = 0; i < kMicrophones; ++i) {
    auto& panel = microphones_[static_cast<size_t>(i)];
    panel = std::make_unique<MicrophonePanel>(processor, i);
    panel->on_choose = [this, i](juce::Component& from) { on_choose(i, from); };
    panel->on_load = [this, i](const juce::File& file) { on_load(i, file); };
  }
  for (juce::Component* child : std::initializer_list<juce::Component*>{
           &title_, &close_, &cabinet_on_, &cabinet_name_, &equaliser_on_, &equaliser_name_, microphones_[0].get(),
           microphones_[1].get(), &equaliser_})
    addAndMakeVisible(child);
}

void CabinetPage::update() {
  for (auto& panel : microphones_) panel->update();
  equaliser_.show_cabinet(cabinet_curve());
  tick();
}

void CabinetPage::tick() { equaliser_.tick(processor_.getSampleRate()); }

int CabinetPage::microphone_at(juce::Point<int> place) const {
  return microphones_[1]->getBounds().contains(place) ? 1 : 0;
}

// The power in a third of an octave around each point: ears resolve no more, and single lines would clutter the plot.
std::vector<float> CabinetPage::cabinet_curve() const {
  constexpr size_t kFrames = size_t{1} << kFftOrder;
  const double rate_hz = processor_.getSampleRate() > 0 ? processor_.getSampleRate() : 48000;
  dsp::CabinetSettings settings;
  for (int i = 0; i < kMicrophones; ++i) {
    const auto status = processor_.microphone(i);
    if (!status.response) continue;
    auto beginning = std::make_shared<dsp::ImpulseResponse>(*status.response);
    const auto most = static_cast<size_t>(static_cast<double>(kFrames) * beginning->sample_rate_hz / rate_hz);
    for (auto& channel : beginning->channels) channel.resize(std::min(channel.size(), std::max<size_t>(most, 1)));
    const MicrophoneSettings& s = status.settings;
    settings.microphones.push_back({std::move(beginning), s.level_db, s.pan, s.delay_ms, s.inverted});
  }
  if (settings.microphones.empty()) return {};
  std::vector<float> taps;
  try {
    taps = dsp::Cabinet(std::move(settings)).taps(rate_hz, 1)[0];
  } catch (const std::exception&) {
    return {};  // silent at its start
  }
  taps.resize(2 * kFrames, 0.0f);
  std::fill(taps.begin() + kFrames, taps.end(), 0.0f);
  juce::dsp::FFT(kFftOrder).performFrequencyOnlyForwardTransform(taps.data(), true);
  std::vector<float> gains_db(EqualiserView::kCabinetPoints);
  for (size_t i = 0; i < gains_db.size(); ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(gains_db.size() - 1);
    const double hz = EqualiserView::kLowHz * std::pow(double(EqualiserView::kHighHz / EqualiserView::kLowHz), part);
    const auto bin = [&](double at_hz) { return at_hz / rate_hz * static_cast<double>(kFrames); };
    const auto first = static_cast<size_t>(std::max(1.0, bin(hz * 0.89)));
    const auto last = std::max(first, std::min(kFrames / 2, static_cast<size_t>(bin(hz * 1.12))));
    double power = 0;
    for (size_t b = first; b <= last && b <= kFrames / 2; ++b) power += double(taps[b]) * double(taps[b]);
    gains_db[i] = static_cast<float>(10 * std::log10(power / static_cast<double>(last - first + 1) + 1e-12));
  }
  return gains_db;
}

bool CabinetPage::keyPressed(const juce::KeyPress& key) {
  if (key != juce::KeyPress::escapeKey) return false;
  on_close();
  return true;
}

void CabinetPage::paint(juce::Graphics& g) { g.fillAll(theme::kBackground); }

void CabinetPage::resized() {
  constexpr int kNameWidth = 64;
  auto area = getLocalBounds().reduced(theme::kPad, 0).withTrimmedBottom(theme::kGap);
  auto head = area.removeFromTop(theme::kHeaderHeight - theme::kGap);
  const auto place = [&](juce::Component& component, int width) {
    component.setBounds(head.removeFromRight(width).withSizeKeepingCentre(width, theme::kButton));
  };
  place(close_, theme::kButton);
  head.removeFromRight(theme::kPad);
  place(equaliser_name_, kNameWidth);
  place(equaliser_on_, theme::kButton);
  head.removeFromRight(theme::kGap);
  place(cabinet_name_, kNameWidth);
  place(cabinet_on_, theme::kButton);
  title_.setBounds(head);
  auto panels = area.removeFromTop(kPanelHeight);
  microphones_[0]->setBounds(panels.removeFromLeft((panels.getWidth() - theme::kGap) / 2));
  panels.removeFromLeft(theme::kGap);
  microphones_[1]->setBounds(panels);
  area.removeFromTop(theme::kGap);
  equaliser_.setBounds(area);
}

}  // namespace coil::plugin
