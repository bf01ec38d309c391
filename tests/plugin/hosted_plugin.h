// The built plugin in JUCE's own host: scanned, loaded and run as in a DAW.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plugin/session.h"
#include "tests/support/planes.h"

namespace coil::test {

// Processes pending messages. [message-thread]
void run_messages(int for_ms = 50);

// "VST3", "LV2". Fails the test unless exactly one plugin is found in the build folder.
juce::PluginDescription scan(const std::string& format);

class HostedPlugin {
 public:
  // Creates and prepares it; fails the test if the host cannot.
  HostedPlugin(const std::string& format, double rate_hz, int block_frames, int channels = 2);
  ~HostedPlugin();

  juce::AudioPluginInstance* operator->() { return plugin_.get(); }
  juce::AudioPluginInstance& operator*() { return *plugin_; }

  void prepare(double rate_hz, int block_frames);
  // Restores this session, as from a host's project.
  void open(const plugin::Session& session);
  plugin::Session saved();  // the session that the host's project would store
  juce::MemoryBlock state();
  void set_state(const juce::MemoryBlock& state);

  // By its current name; null: none.
  juce::AudioProcessorParameter* parameter(const juce::String& name);

  // In blocks of these sizes, then in blocks of `block`.
  Planes run(Planes signal, size_t block, std::span<const size_t> first_blocks = {});

 private:
  std::string format_;
  std::unique_ptr<juce::AudioPluginInstance> plugin_;
};

}  // namespace coil::test
