// The plugin as it was built, in JUCE's own host: scanned, loaded and run as a DAW would.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plugin/session.h"
#include "tests/support/planes.h"

namespace coil::test {

// Lets the messages that are under way arrive. [message-thread]
void run_messages(int for_ms = 50);

// "VST3", "LV2". Fails the test unless exactly one plugin is found where the build put it.
juce::PluginDescription scan(const std::string& format);

class HostedPlugin {
 public:
  // Made and prepared; fails the test when the host cannot.
  HostedPlugin(const std::string& format, double rate_hz, int block_frames, int channels = 2);
  ~HostedPlugin();

  juce::AudioPluginInstance* operator->() { return plugin_.get(); }
  juce::AudioPluginInstance& operator*() { return *plugin_; }

  void prepare(double rate_hz, int block_frames);
  // As if the host's project held this session.
  void open(const plugin::Session& session);
  plugin::Session saved();  // what the host's project would hold
  juce::MemoryBlock state();
  void set_state(const juce::MemoryBlock& state);

  // By its present name; null: there is none.
  juce::AudioProcessorParameter* parameter(const juce::String& name);

  // In blocks of these sizes, then of `block` for the rest.
  Planes run(Planes signal, size_t block, std::span<const size_t> first_blocks = {});

 private:
  std::string format_;
  std::unique_ptr<juce::AudioPluginInstance> plugin_;
};

}  // namespace coil::test
