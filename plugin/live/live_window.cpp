// The texts of the bar, and the synchronisation of sizes.
#include "plugin/live/live_window.h"

#include "plugin/editor/theme.h"
#include "plugin/live/device_words.h"

namespace coil::plugin {
namespace {

constexpr const char* kPlaceKey = "window";
constexpr int kDropoutsMs = 1000;

// A card that is unplugged while it plays stays the current device, and says why it has stopped.
bool has_stopped(const juce::AudioDeviceManager& manager) {
  auto* device = manager.getCurrentAudioDevice();
  return device && !device->isPlaying() && device->getLastError().isNotEmpty();
}

juce::String trouble_text(juce::AudioDeviceManager& manager) {
  DeviceTrouble trouble;
  trouble.type = manager.getCurrentAudioDeviceType();
  if (has_stopped(manager)) {
    auto* device = manager.getCurrentAudioDevice();
    trouble.name = device->getName();
    trouble.error = device->getLastError();
    return words_for(trouble);
  }
  auto setup = manager.getAudioDeviceSetup();
  trouble.name = setup.outputDeviceName.isNotEmpty() ? setup.outputDeviceName : setup.inputDeviceName;
  if (auto* type = manager.getCurrentDeviceTypeObject()) {
    const auto outputs = type->getDeviceNames(false), inputs = type->getDeviceNames(true);
    trouble.any_devices = !outputs.isEmpty() || !inputs.isEmpty();
    if (trouble.name.isEmpty() && !outputs.isEmpty()) trouble.name = setup.outputDeviceName = outputs[0];
  }
  // Only opening it again tells why it did not open.
  if (trouble.any_devices && trouble.name.isNotEmpty()) trouble.error = manager.setAudioDeviceSetup(setup, false);
  return words_for(trouble);
}

juce::String device_text(juce::AudioDeviceManager& manager) {
  juce::AudioIODevice* device = manager.getCurrentAudioDevice();
  if (!device) return {};
  const double rate_hz = device->getCurrentSampleRate();
  const int frames = device->getCurrentBufferSizeSamples();
  juce::String text =
      device->getName() + ", " + juce::String(rate_hz / 1000) + " kHz, blocks of " + juce::String(frames);
  if (rate_hz > 0) text << " (" << juce::String(1000 * frames / rate_hz, 1) << " ms)";
  if (const auto dropouts = words_for_dropouts(manager.getXRunCount()); dropouts.isNotEmpty()) text << ". " << dropouts;
  return text;
}

}  // namespace

DeviceBar::DeviceBar(juce::StandalonePluginHolder& holder) : holder_(holder) {
  setTitle("Sound card");
  setFocusContainerType(FocusContainerType::focusContainer);
  text_.setFont(theme::font(theme::kTextSmall));
  text_.setMinimumHorizontalScale(1);
  settings_.setTooltip("Sound card, sample rate, size of blocks, MIDI inputs");
  settings_.onClick = [this] { holder_.showAudioSettingsDialog(); };
  mute_.onClick = [this] {
    muted_ = !static_cast<bool>(muted_.getValue());
    holder_.saveAudioDeviceState();
  };
  for (auto* button : {&mute_, &settings_}) button->setMouseClickGrabsKeyboardFocus(false);
  for (juce::Component* child : std::initializer_list<juce::Component*>{&text_, &mute_, &settings_})
    addAndMakeVisible(child);
  muted_.referTo(holder_.getMuteInputValue());
  muted_.addListener(this);
  holder_.deviceManager.addChangeListener(this);
  startTimer(kDropoutsMs);
  update();
}

DeviceBar::~DeviceBar() { holder_.deviceManager.removeChangeListener(this); }

// The user has chosen another device, so the error is looked up again.
void DeviceBar::changeListenerCallback(juce::ChangeBroadcaster*) {
  if (const auto setup = holder_.deviceManager.getAudioDeviceSetup(); !(setup == asked_)) {
    asked_ = setup;
    trouble_.clear();
  }
  update();
}

void DeviceBar::update() {
  const bool muted = muted_.getValue();
  auto& manager = holder_.deviceManager;
  if (manager.getCurrentAudioDevice() && !has_stopped(manager))
    trouble_.clear();
  else if (trouble_.isEmpty())
    trouble_ = trouble_text(manager);
  const juce::String text =
      trouble_.isNotEmpty() ? trouble_
      : muted ? juce::String("The input is muted: press Unmute to play. A microphone near loudspeakers would howl")
              : device_text(manager);
  whole_text_ = text;
  fit_text();
  const auto colour = trouble_.isNotEmpty() ? theme::kError : muted ? theme::kWarning : theme::kTextFaint;
  text_.setColour(juce::Label::textColourId, colour);
  mute_.setButtonText(muted ? "Unmute" : "Mute");
  mute_.setTooltip(muted ? "Lets the input in. With headphones, or without a microphone, nothing can howl"
                         : "Silences the input");
  const auto light = [](juce::TextButton& button, bool lit) {  // what to press next
    button.setColour(juce::TextButton::buttonColourId, lit ? theme::kCopper : theme::kRaised);
    button.setColour(juce::TextButton::textColourOffId, lit ? theme::kBackground : theme::kText);
  };
  light(mute_, muted && trouble_.isEmpty());
  light(settings_, trouble_.isNotEmpty());
}

// A narrow window shows only the error, without the remedy; the tooltip has both.
void DeviceBar::fit_text() {
  const bool fits =
      text_.getFont().getStringWidth(whole_text_) <= text_.getWidth() - text_.getBorderSize().getLeftAndRight();
  text_.setText(fits ? whole_text_ : whole_text_.upToFirstOccurrenceOf(": ", false, false), juce::dontSendNotification);
  text_.setTooltip(whole_text_);
}

void DeviceBar::paint(juce::Graphics& g) {
  g.fillAll(theme::kPanel);
  g.setColour(theme::kLine);
  g.fillRect(getLocalBounds().removeFromBottom(1));
}

void DeviceBar::resized() {
  constexpr int kMuteWidth = 76, kSettingsWidth = 116;
  auto area = getLocalBounds().reduced(theme::kPad, 0).withSizeKeepingCentre(getWidth() - 2 * theme::kPad, theme::kRow);
  settings_.setBounds(area.removeFromRight(kSettingsWidth));
  area.removeFromRight(theme::kGap);
  mute_.setBounds(area.removeFromRight(kMuteWidth));
  area.removeFromRight(theme::kGap);
  text_.setBounds(area);
  fit_text();
}

LiveContent::LiveContent(juce::StandalonePluginHolder& holder)
    : holder_(holder), bar_(holder), editor_(holder.processor->createEditorIfNeeded()) {
  addAndMakeVisible(bar_);
  addAndMakeVisible(*editor_);
  editor_->addComponentListener(this);
  setSize(editor_->getWidth(), editor_->getHeight() + kBarHeight);
}

LiveContent::~LiveContent() {
  editor_->removeComponentListener(this);
  holder_.processor->editorBeingDeleted(editor_.get());
}

void LiveContent::resized() {
  const juce::ScopedValueSetter<bool> placing(placing_, true);
  auto area = getLocalBounds();
  bar_.setBounds(area.removeFromTop(kBarHeight));
  editor_->setBounds(area);
}

void LiveContent::componentMovedOrResized(juce::Component&, bool, bool) {
  if (!placing_) setSize(editor_->getWidth(), editor_->getHeight() + kBarHeight);
}

LiveWindow::LiveWindow(juce::PropertySet& settings, std::function<void()> on_close)
    : DocumentWindow("Coil", theme::kBackground, DocumentWindow::minimiseButton | DocumentWindow::closeButton),
      settings_(settings),
      on_close_(std::move(on_close)),
      holder_(&settings, false) {
  setTitleBarButtonsRequired(DocumentWindow::minimiseButton | DocumentWindow::closeButton, false);
  setContentOwned(new LiveContent(holder_), true);
  setResizable(true, false);
  const auto border = getContentComponentBorder();
  const int width = border.getLeftAndRight(), height = border.getTopAndBottom() + LiveContent::kBarHeight;
  setResizeLimits(theme::kMinWidth + width, theme::kMinHeight + height, theme::kMaxWidth + width,
                  theme::kMaxHeight + height);
  if (!restoreWindowStateFromString(settings_.getValue(kPlaceKey))) centreWithSize(getWidth(), getHeight());
}

LiveWindow::~LiveWindow() {
  settings_.setValue(kPlaceKey, getWindowStateAsString());
  holder_.stopPlaying();
  clearContentComponent();
}

}  // namespace coil::plugin
