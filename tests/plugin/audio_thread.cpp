// What the audio thread must not do inside the processor: use the heap, lock, throw. The built plugins leave the heap
// alone as well; their locks are JUCE's, which it takes around each block.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "plugin/processor.h"
#include "tests/plugin/hosted_plugin.h"
#include "tests/plugin/sessions.h"
#include "tests/realtime/forbidden_calls.h"
#include "tests/realtime/system_calls.h"

namespace {

using namespace coil;

constexpr double kRate = 44100;  // not the overdrive's: its resamplers run as well
constexpr int kBlocks[] = {64, 1, 0, 512, 63, 700};
constexpr int kMostFrames = 700, kAnnounced = 512;

// Blocks as a host might send them, until it is told to stop. Returns the first blocks' forbidden calls, if any.
std::string play(juce::AudioProcessor& plugin, const std::atomic<bool>& done) {
  const test::Planes sound = test::noise(2, kMostFrames);
  const int channels = std::max(2, plugin.getTotalNumInputChannels());
  juce::AudioBuffer<float> whole(channels, kMostFrames);
  whole.clear();
  juce::MidiBuffer midi;
  midi.ensureSize(64);
  std::string calls;
  for (int round = 0; !done || round < 3; ++round)
    for (const int frames : kBlocks) {
      juce::AudioBuffer<float> audio(whole.getArrayOfWritePointers(), channels, frames);
      for (int c = 0; c < 2; ++c) audio.copyFrom(c, 0, sound[size_t(c)].data(), frames);
      midi.clear();
      midi.addEvent(juce::MidiMessage::controllerEvent(1, 7, round % 128), 0);
      const std::string found = test::forbidden_calls([&] { plugin.processBlock(audio, midi); });
      if (calls.empty()) calls = found;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  return calls;
}

TEST_CASE("the processor leaves the heap, locks and exceptions alone, whatever the player does meanwhile") {
  plugin::Processor processor;
  processor.prepareToPlay(kRate, kAnnounced);
  std::atomic<bool> done{false};
  std::string calls;
  std::thread audio([&] { calls = play(processor, done); });
  for (int i = 0; i < 60; ++i) {
    processor.set_active_slot(i / 2 % 2);
    if (i % 3 == 0) processor.load_file(i % 2, juce::File(test::overdrive_path().string()));
    if (i % 5 == 4) processor.clear(i % 2);
    if (i % 4 == 3) processor.undo();
    if (i % 7 == 6) processor.set_rate_mode(i % 2 ? dsp::RateMode::prefer_steps : dsp::RateMode::resample);
    for (auto* parameter : processor.getParameters()) parameter->setValueNotifyingHost(float(i % 11) / 10);
    test::run_messages(10);
  }
  done = true;
  audio.join();
  CHECK(calls == "");
}

TEST_CASE("while a device is learned the audio thread uses no heap, no lock and no exception, and calls no system") {
  plugin::Processor processor;
  juce::AudioProcessor::BusesLayout layout;
  layout.inputBuses = {juce::AudioChannelSet::stereo(), juce::AudioChannelSet::stereo()};
  layout.outputBuses = {juce::AudioChannelSet::stereo()};
  REQUIRE(processor.setBusesLayout(layout));
  processor.prepareToPlay(kRate, kAnnounced);
  const auto from = GENERATE(plugin::Processor::LearnFrom::playing, plugin::Processor::LearnFrom::test_signal);
  const test::Planes sound = test::noise(4, kMostFrames);
  juce::AudioBuffer<float> audio(4, kMostFrames);
  juce::MidiBuffer midi;
  const auto block = [&] {
    for (int c = 0; c < 4; ++c) audio.copyFrom(c, 0, sound[size_t(c)].data(), kMostFrames);
    processor.processBlock(audio, midi);
  };
  block();
  processor.start_learning(from);
  std::string calls;
  for (int i = 0; i < 800; ++i) {  // the ring comes round
    if (const std::string found = test::forbidden_calls(block); calls.empty()) calls = found;
    if (i % 100 == 0) test::run_messages(5);
  }
  CHECK(calls == "");
  CHECK(processor.learn_status().recorded_s > 0);
  const auto system = test::system_calls(test::Watch::filter, [&] {
    for (int i = 0; i < 100; ++i) block();
  });
  if (system) CHECK(*system == "");
}

TEST_CASE("the built plugins and their host leave the heap alone while they play, however long the blocks") {
  const std::string format = GENERATE(as<std::string>{}, "VST3", "LV2");
  test::HostedPlugin plugin(format, kRate, kMostFrames);
  plugin.open(test::overdrive_session());
  std::atomic<bool> done{true};
  play(*plugin, done);  // what the first blocks settle, for the host as well
  const std::string calls = play(*plugin, done);
  INFO(format << ": " << calls);
  for (const char* entry : {"alloc", "memalign", "free"}) CHECK(calls.find(entry) == std::string::npos);
}

}  // namespace
