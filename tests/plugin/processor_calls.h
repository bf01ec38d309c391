// Calls of host and window to a processor, for its tests.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <functional>

#include "plugin/processor.h"
#include "tests/plugin/hosted_plugin.h"

namespace coil::test {

constexpr int kBlock = 64;

inline bool wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 500 && !condition(); ++i) run_messages(10);
  return condition();
}

inline void load(plugin::Processor& processor, int slot, const juce::File& file) {
  processor.load_file(slot, file);
  REQUIRE(wait_for([&] { return processor.status(slot).kind != plugin::SlotStatus::Kind::loading; }));
}

// Waits until all requests are done.
inline void finish() {
  const juce::SharedResourcePointer<plugin::Background> background;
  std::atomic<bool> done{false};
  background->post(&done, [&] { done = true; });
  REQUIRE(wait_for([&] { return done.load(); }));
}

inline void set(juce::AudioProcessorParameter& parameter, float normalised) {
  parameter.beginChangeGesture();
  parameter.setValueNotifyingHost(normalised);
  parameter.endChangeGesture();
}

inline Planes run(plugin::Processor& processor, Planes planes, const juce::MidiBuffer& midi_first = {}) {
  juce::MidiBuffer midi = midi_first;
  for (size_t begin = 0; begin < planes[0].size(); begin += kBlock) {
    std::array<float*, 2> channels{planes[0].data() + begin, planes.back().data() + begin};
    juce::AudioBuffer<float> audio(channels.data(), int(planes.size()),
                                   int(std::min(planes[0].size() - begin, size_t(kBlock))));
    processor.processBlock(audio, midi);
    midi.clear();
  }
  return planes;
}

inline plugin::Session saved(plugin::Processor& processor) {
  juce::MemoryBlock state;
  processor.getStateInformation(state);
  return plugin::session_from_bytes({static_cast<const std::byte*>(state.getData()), state.getSize()});
}

inline void open(plugin::Processor& processor, const plugin::Session& session) {
  const std::vector<std::byte> bytes = plugin::to_bytes(session);
  processor.setStateInformation(bytes.data(), int(bytes.size()));
}

}  // namespace coil::test
