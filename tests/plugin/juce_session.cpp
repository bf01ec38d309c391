// Set-up around all tests: JUCE's message thread, and a temporary home folder.
#define CATCH_CONFIG_EXTERNAL_INTERFACES  // for listeners
#include <catch2/catch.hpp>
#include <cstdlib>
#include <juce_audio_processors/juce_audio_processors.h>
#include <memory>

#include "tests/support/temp_dir.h"

namespace {

class JuceSession : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  void testRunStarting(const Catch::TestRunInfo&) override {
    home_ = std::make_unique<coil::test::TempDir>();
    setenv("HOME", home_->path().c_str(), 1);
    for (const char* variable : {"XDG_DATA_HOME", "XDG_CONFIG_HOME", "DISPLAY"}) unsetenv(variable);
    setenv("COIL_PRESETS", COIL_PRESETS_DIR, 1);
    juce_ = std::make_unique<juce::ScopedJuceInitialiser_GUI>();
  }

  void testRunEnded(const Catch::TestRunStats&) override {
    juce_.reset();
    home_.reset();
  }

 private:
  std::unique_ptr<coil::test::TempDir> home_;
  std::unique_ptr<juce::ScopedJuceInitialiser_GUI> juce_;
};

CATCH_REGISTER_LISTENER(JuceSession)

}  // namespace
