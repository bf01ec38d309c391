// The window of coil-live: the plugin's editor below a bar for the input device and its mute button.
#pragma once

#include <juce_audio_utils/juce_audio_utils.h>

#include <juce_audio_plugin_client/Standalone/juce_StandaloneFilterWindow.h>

#include <functional>
#include <memory>

namespace coil::plugin {

// At the first start, a microphone may stand near loudspeakers. So the input is muted until one click here unmutes it;
// the choice is saved. All functions are [message-thread].
class DeviceBar final : public juce::Component,
                        private juce::ChangeListener,
                        private juce::Value::Listener,
                        private juce::Timer {
 public:
  explicit DeviceBar(juce::StandalonePluginHolder& holder);
  ~DeviceBar() override;

  const juce::String& text() const { return whole_text_; }  // also where the bar is too narrow for it

 private:
  void paint(juce::Graphics& g) override;
  void resized() override;
  void changeListenerCallback(juce::ChangeBroadcaster*) override;
  void timerCallback() override { update(); }
  void valueChanged(juce::Value&) override { update(); }
  void update();
  void fit_text();

  juce::StandalonePluginHolder& holder_;
  juce::Value muted_;
  juce::String trouble_;  // why no device is open; empty: one is
  juce::AudioDeviceManager::AudioDeviceSetup asked_;
  juce::Label text_;
  juce::String whole_text_;
  juce::TextButton mute_, settings_{"Audio settings"};
};

// Adopts the editor's size, and resizes the editor with the window.
class LiveContent final : public juce::Component, private juce::ComponentListener {
 public:
  static constexpr int kBarHeight = 36;

  explicit LiveContent(juce::StandalonePluginHolder& holder);
  ~LiveContent() override;

 private:
  void resized() override;
  void componentMovedOrResized(juce::Component&, bool moved, bool resized) override;

  juce::StandalonePluginHolder& holder_;
  DeviceBar bar_;
  std::unique_ptr<juce::AudioProcessorEditor> editor_;
  bool placing_ = false;
};

class LiveWindow final : public juce::DocumentWindow {
 public:
  // `settings` store devices, session and window position; they must outlive it.
  LiveWindow(juce::PropertySet& settings, std::function<void()> on_close);
  ~LiveWindow() override;

  void keep_session() { holder_.savePluginState(); }

 private:
  void closeButtonPressed() override { on_close_(); }

  juce::PropertySet& settings_;
  std::function<void()> on_close_;
  juce::StandalonePluginHolder holder_;
};

}  // namespace coil::plugin
