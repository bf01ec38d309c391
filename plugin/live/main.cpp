// The program coil-live.
#include <optional>

#include "plugin/editor/look_and_feel.h"
#include "plugin/live/live_window.h"
#include "plugin/model_library.h"

namespace coil::plugin {
namespace {

class LiveApplication final : public juce::JUCEApplication {
 public:
  const juce::String getApplicationName() override { return "Coil"; }
  const juce::String getApplicationVersion() override { return JucePlugin_VersionString; }
  bool moreThanOneInstanceAllowed() override { return true; }

  void initialise(const juce::String&) override {
    settings_.emplace(LibraryFolders::standard().settings.getSiblingFile("live.settings"),
                      juce::PropertiesFile::Options());
    window_.emplace(*settings_, [this] { systemRequestedQuit(); });
    window_->setVisible(true);
  }
  void systemRequestedQuit() override {
    window_->keep_session();
    quit();
  }
  void shutdown() override {
    window_.reset();
    settings_->saveIfNeeded();
  }

 private:
  std::optional<juce::PropertiesFile> settings_;
  juce::SharedResourcePointer<LookAndFeel> look_and_feel_;
  std::optional<LiveWindow> window_;
};

}  // namespace
}  // namespace coil::plugin

juce::JUCEApplicationBase* juce_CreateApplication() { return new coil::plugin::LiveApplication; }
