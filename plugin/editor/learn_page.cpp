// Layout, buttons and drawing of the Learn page.
#include "plugin/editor/learn_page.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "plugin/editor/theme.h"
#include "plugin/text.h"

namespace coil::plugin {
namespace {

using Stage = LearnStatus::Stage;

constexpr float kStatusEveryS = 0.15f, kSilentAfterS = 0.5f;
constexpr int kMeterWidth = 40, kButtonWidth = 96, kWideButtonWidth = 124;

}  // namespace

void LearnPage::Text::show(const juce::String& text, const std::vector<LearnRemark>& remarks) {
  juce::String all = text;
  std::vector<LearnRemark> sorted = remarks;
  std::stable_partition(sorted.begin(), sorted.end(), [](const LearnRemark& remark) { return remark.warns; });
  for (const LearnRemark& remark : sorted) all << "\n" << (remark.warns ? "Warning: " : "") << from_utf8(remark.text);
  if (all == getDescription()) return;
  text_ = text;
  remarks_ = std::move(sorted);
  setDescription(all);
  setTooltip(remarks_.empty() ? juce::String() : all);
  repaint();
}

void LearnPage::Text::paint(juce::Graphics& g) {
  constexpr float kIcon = 14;
  auto area = getLocalBounds().toFloat();
  const auto layout_of = [&](const juce::String& text, juce::Colour colour, float size, float width) {
    juce::AttributedString string;
    string.append(text, theme::font(size), colour);
    string.setLineSpacing(2);
    juce::TextLayout layout;
    layout.createLayout(string, width);
    return layout;
  };
  for (const auto& paragraph : juce::StringArray::fromLines(text_)) {
    const auto layout = layout_of(paragraph, theme::kText, theme::kTextNormal, area.getWidth());
    layout.draw(g, area.removeFromTop(layout.getHeight()));
    area.removeFromTop(4);
  }
  area.removeFromTop(theme::kGap);
  for (size_t i = 0; i < remarks_.size(); ++i) {
    const LearnRemark& remark = remarks_[i];
    const juce::String said = from_utf8(remark.text);
    const auto layout = layout_of(capitalised(said), remark.warns ? theme::kWarning : theme::kTextSoft,
                                  theme::kTextSmall, area.getWidth() - kIcon - 6);
    const bool is_last = i + 1 == remarks_.size();
    if (layout.getHeight() + (is_last ? 0 : 16) > area.getHeight()) {
      g.setFont(theme::font(theme::kTextSmall));
      g.setColour(theme::kTextFaint);
      if (area.getHeight() >= 14)
        g.drawText("and " + juce::String(remarks_.size() - i) + " more: hold the mouse here", area.removeFromTop(14),
                   juce::Justification::centredLeft);
      return;
    }
    auto row = area.removeFromTop(layout.getHeight());
    const auto icon = row.removeFromLeft(kIcon).removeFromTop(kIcon);
    draw_icon(g, remark.warns ? Icon::warning : Icon::done, icon, remark.warns ? theme::kWarning : theme::kTextFaint);
    row.removeFromLeft(6);
    layout.draw(g, row);
    area.removeFromTop(4);
  }
}

void LearnPage::Progress::show(float part, const juce::String& text) {
  if (part == part_ && text == text_) return;
  part_ = part;
  text_ = text;
  setDescription(text);
  repaint();
}

void LearnPage::Progress::paint(juce::Graphics& g) {
  auto area = getLocalBounds().toFloat();
  g.setFont(theme::font(theme::kTextSmall));
  g.setColour(theme::kTextSoft);
  g.drawText(text_, area.removeFromTop(16), juce::Justification::centredLeft);
  if (part_ < 0) return;
  const auto bar = area.withSizeKeepingCentre(area.getWidth(), 6);
  g.setColour(theme::kTrack);
  g.fillRoundedRectangle(bar, 3);
  g.setColour(theme::kCopper);
  g.fillRoundedRectangle(bar.withWidth(std::max(6.0f, bar.getWidth() * std::min(1.0f, part_))), 3);
}

LearnPage::LearnPage(Processor& processor)
    : processor_(processor),
      dry_(processor.learn_input().levels().dry, "Level of the dry signal", theme::kSteel),
      wet_(processor.learn_input().levels().wet, "Level of the return", theme::kCopper) {
  setTitle("Learn a device");
  setFocusContainerType(FocusContainerType::keyboardFocusContainer);
  setOpaque(true);
  title_.setFont(theme::font(theme::kTextTitle, theme::Weight::strong));
  error_.setFont(theme::font(theme::kTextNormal, theme::Weight::strong));
  for (auto* label : {&dry_name_, &wet_name_}) {
    label->setFont(theme::font(theme::kTextSmall));
    label->setColour(juce::Label::textColourId, theme::kTextSoft);
    label->setJustificationType(juce::Justification::centred);
  }
  for (auto* label : {&title_, &error_, &dry_name_, &wet_name_}) {
    label->setBorderSize({});
    label->setMinimumHorizontalScale(0.6f);
  }
  dry_name_.setText("Dry", juce::dontSendNotification);
  wet_name_.setText("Return", juce::dontSendNotification);
  name_.setTitle("Name of the model");
  name_.setFont(theme::font(theme::kTextNormal));
  name_.setIndents(theme::kGap, theme::kGap - 1);
  name_.setTextToShowWhenEmpty("Name of the model", theme::kTextFaint);
  name_.onReturnKey = [this] { keep(); };
  name_.onEscapeKey = [this] { on_close(); };
  learn_.onClick = [this] { begin(Processor::LearnFrom::playing); };
  signal_.onClick = [this] { begin(Processor::LearnFrom::test_signal); };
  stop_.onClick = [this] { processor_.stop_learning(); };
  keep_.onClick = [this] { keep(); };
  discard_.onClick = [this] { discard(); };
  close_.onClick = [this] { on_close(); };
  signal_.setTooltip("Plays a test signal of a minute, at up to -1 dBFS, on the outputs, and records what comes back");
  stop_.setTooltip("Ends the recording; pressed again, the learning. The best model so far stays");
  keep_.setTooltip("Saves the model and its report into the library");
  theme::make_primary(learn_);
  theme::make_primary(keep_);
  for (auto* button : {&learn_, &signal_, &stop_, &keep_, &discard_}) button->setMouseClickGrabsKeyboardFocus(false);
  for (juce::Component* child : std::initializer_list<juce::Component*>{
           &title_, &close_, &dry_, &wet_, &dry_name_, &wet_name_, &text_, &error_, &curve_, &progress_})
    addAndMakeVisible(child);
  for (juce::Component* child :
       std::initializer_list<juce::Component*>{&name_, &learn_, &signal_, &stop_, &keep_, &discard_})
    addChildComponent(child);
}

LearnPage::~LearnPage() { processor_.learn_input().watch(false); }

void LearnPage::offer(const juce::File& capture, const juce::String& description) {
  open();
  offered_ = capture;
  offer_text_ = description;
  show(processor_.learn_status());
}

void LearnPage::open() {
  problem_.clear();
  offered_ = juce::File();
  setVisible(true);
  show(processor_.learn_status());
}

void LearnPage::close() { setVisible(false); }

void LearnPage::visibilityChanged() { processor_.learn_input().watch(isVisible()); }

void LearnPage::begin(Processor::LearnFrom from) {
  problem_.clear();
  try {
    if (const auto capture = std::exchange(offered_, juce::File()); capture != juce::File())
      processor_.start_converting(capture);
    else
      processor_.start_learning(from);
  } catch (const Error& error) {
    problem_ = from_utf8(error.what());
  }
  show(processor_.learn_status());
}

void LearnPage::keep() {
  problem_.clear();
  try {
    processor_.keep_learned(name_.getText());
  } catch (const Error& error) {
    problem_ = from_utf8(error.what());
  }
  show(processor_.learn_status());
}

void LearnPage::discard() {
  if (std::exchange(offered_, juce::File()) != juce::File()) return on_close();
  processor_.discard_learned();
  show(processor_.learn_status());
}

void LearnPage::tick(float seconds) {
  dry_.tick(seconds);
  wet_.tick(seconds);
  since_sound_s_ = processor_.learn_input().runs() ? 0 : since_sound_s_ + seconds;
  if ((since_status_s_ += seconds) < kStatusEveryS) return;
  since_status_s_ = 0;
  show(processor_.learn_status());
}

void LearnPage::show(const LearnStatus& now) {
  const bool offers = offered_ != juce::File();
  const LearnStatus status = offers ? LearnStatus{} : now;
  LearnWords words =
      words_for(status, {processor_.is_live(), since_sound_s_ < kSilentAfterS, processor_.learn_input().has_return()});
  if (offers) {
    words.title = "Convert " + offered_.getFileName() + "?";
    words.text = offer_text_ +
                 "\nIt becomes a model of your library, in the background and in about a minute; what plays plays on.";
    if (now.stage != Stage::idle) words.text << "\nWhat is being learned now, and was not kept, is discarded.";
  }
  learn_.setButtonText(offers ? "Convert" : "Learn");
  learn_.setTooltip(offers ? "The capture plays a test signal, and the model learns from it"
                           : "Records both signals while you play, and learns meanwhile");
  title_.setText(words.title, juce::dontSendNotification);
  std::vector<LearnRemark> remarks = status.remarks;
  std::erase_if(remarks, [&](const LearnRemark& remark) { return remark.text == status.message; });
  if (problem_.isNotEmpty()) remarks.insert(remarks.begin(), {true, problem_.toStdString()});
  if (const float gain_db = processor_.parameters().input_gain->get();
      status.has_model && std::abs(gain_db) > 0.05f && status.stage != Stage::kept)
    remarks.push_back({true, capture::sentence("the input gain is at %.1f dB: set it to 0 dB, or the model hears "
                                               "another level than the device did",
                                               double(gain_db))});
  if (status.round_trip_ms)
    remarks.push_back({false, capture::sentence("round trip of about %.1f ms, %.0f samples", *status.round_trip_ms,
                                                *status.round_trip_ms * processor_.getSampleRate() / 1000)});
  converts_ = offers || status.converts;
  text_.show(words.text, remarks);
  error_.setText(status.has_model ? "Error " + error_text(status.esr) : juce::String(), juce::dontSendNotification);
  curve_.show(status.curve, status.converts ? 0 : status.esr_of_nothing);
  progress_.show(words.progress, words.progress_text);
  for (juce::Component* child : std::initializer_list<juce::Component*>{&dry_, &wet_, &dry_name_, &wet_name_})
    child->setVisible(!converts_);
  error_.setVisible(!offers);
  curve_.setVisible(!offers);
  show_buttons(status, words);
}

void LearnPage::show_buttons(const LearnStatus& status, const LearnWords& words) {
  const bool offers = offered_ != juce::File();
  const bool begins = status.stage == Stage::idle, ended = status.stage == Stage::kept || status.stage == Stage::failed;
  const bool works = !begins && !ended;
  stop_.setButtonText(words.stop);
  discard_.setButtonText(ended ? "Close" : offers || status.converts ? "Cancel" : "Discard");
  discard_.setTooltip(ended             ? "Back to the beginning"
                      : status.converts ? "Ends the conversion; nothing is saved"
                                        : "Discards the learned model and restores the previous one");
  const bool can_keep = works && status.has_model && !status.converts && status.stage != Stage::saving;
  if (can_keep && !keep_.isVisible() && name_.isEmpty()) name_.setText("My device", juce::dontSendNotification);
  learn_.setVisible(begins);
  signal_.setVisible(begins && !offers && processor_.is_live());
  stop_.setVisible(works && words.stop.isNotEmpty());
  keep_.setVisible(can_keep);
  name_.setVisible(can_keep);
  discard_.setVisible((!begins || offers) && status.stage != Stage::saving);
  resized();
}

bool LearnPage::keyPressed(const juce::KeyPress& key) {
  if (key != juce::KeyPress::escapeKey) return false;
  on_close();
  return true;
}

void LearnPage::paint(juce::Graphics& g) { g.fillAll(theme::kBackground); }

void LearnPage::resized() {
  constexpr float kCurve = 0.52f;
  auto area = getLocalBounds().reduced(theme::kPad, 0).withTrimmedBottom(theme::kGap);
  auto head = area.removeFromTop(theme::kHeaderHeight - theme::kGap);
  close_.setBounds(head.removeFromRight(theme::kButton).withSizeKeepingCentre(theme::kButton, theme::kButton));
  head.removeFromRight(theme::kGap);
  title_.setBounds(head);

  auto buttons = area.removeFromBottom(theme::kButton + 2);
  const auto place = [&](juce::Component& button, int width) {
    if (!button.isVisible()) return;
    button.setBounds(buttons.removeFromRight(width));
    buttons.removeFromRight(theme::kGap);
  };
  place(learn_, kButtonWidth);
  place(signal_, kWideButtonWidth);
  place(keep_, kButtonWidth);
  place(discard_, kButtonWidth);
  place(stop_, kWideButtonWidth);
  if (name_.isVisible()) name_.setBounds(buttons.removeFromLeft(std::min(buttons.getWidth(), 260)));
  area.removeFromBottom(theme::kGap);
  progress_.setBounds(area.removeFromBottom(28));
  area.removeFromBottom(theme::kGap);

  for (auto [meter, name] : {std::pair(&dry_, &dry_name_), std::pair(&wet_, &wet_name_)}) {
    if (converts_) continue;
    auto column = area.removeFromLeft(kMeterWidth);
    name->setBounds(column.removeFromBottom(16));
    meter->setBounds(column.withSizeKeepingCentre(20, column.getHeight()));
  }
  if (!converts_) area.removeFromLeft(theme::kPad);
  if (!curve_.isVisible()) return text_.setBounds(area);
  auto right = area.removeFromRight(juce::roundToInt(static_cast<float>(area.getWidth()) * kCurve));
  area.removeFromRight(theme::kPad);
  text_.setBounds(area);
  error_.setBounds(right.removeFromTop(theme::kRow));
  curve_.setBounds(right);
}

}  // namespace coil::plugin
