// What the processor must not do on the audio thread: use the heap, lock, throw. The built plugins do not use the heap
// either; their locks are JUCE's, which surround each block.
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <juce_audio_formats/juce_audio_formats.h>
#include <thread>

#include "plugin/processor.h"
#include "tests/plugin/hosted_plugin.h"
#include "tests/plugin/sessions.h"
#include "tests/realtime/forbidden_calls.h"
#include "tests/realtime/system_calls.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

constexpr double kRate = 44100;  // not the overdrive's rate, so that its resamplers run as well
constexpr int kBlocks[] = {64, 1, 0, 512, 63, 700};
constexpr int kMostFrames = 700, kAnnounced = 512;

// Plays typical blocks of a host until it is stopped. Returns the forbidden calls of the first blocks, if any.
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

// An impulse response of decaying noise, as a WAV file.
juce::File response_in(const test::TempDir& folder) {
  const juce::File file((folder / "cone.wav").string());
  auto planes = test::noise(2, 9600);
  for (auto& plane : planes)
    for (size_t i = 0; i < plane.size(); ++i) plane[i] *= std::exp(-float(i) / 1000);
  const float* const channels[] = {planes[0].data(), planes[1].data()};
  std::unique_ptr<juce::AudioFormatWriter> writer(
      juce::WavAudioFormat().createWriterFor(file.createOutputStream().release(), 48000, 2, 24, {}, 0));
  writer->writeFromFloatArrays(channels, 2, int(planes[0].size()));
  return file;
}

TEST_CASE("loading, changing, switching and clearing a cabinet stays real-time safe") {
  const test::TempDir folder;
  const juce::File cone = response_in(folder);
  plugin::Processor processor;
  processor.prepareToPlay(kRate, kAnnounced);
  processor.load_file(0, juce::File(test::overdrive_path().string()));
  const test::Planes sound = test::noise(2, kMostFrames);
  juce::AudioBuffer<float> audio(2, kMostFrames);
  juce::MidiBuffer midi;
  const auto block = [&] {
    for (int c = 0; c < 2; ++c) audio.copyFrom(c, 0, sound[size_t(c)].data(), kMostFrames);
    processor.processBlock(audio, midi);
  };
  block();
  const auto calls_of = [&](int blocks) {
    std::string calls;
    for (int i = 0; i < blocks; ++i)
      if (const std::string found = test::forbidden_calls(block); calls.empty()) calls = found;
    return calls;
  };
  const auto& parameters = processor.parameters();
  for (int i = 0; i < 24; ++i) {
    if (i % 4 == 0) processor.load_response(i / 4 % 2, cone);
    if (i % 4 == 1) processor.set_microphone(0, {-float(i % 7), 0.1f * float(i % 5), float(i % 3), i % 2 == 0});
    if (i % 4 == 2) parameters.cabinet_on->setValueNotifyingHost(float(i / 4 % 2));
    if (i % 4 == 2) parameters.bands[0].gain->setValueNotifyingHost(float(i % 9) / 9);
    if (i % 12 == 11) processor.clear_response(1);
    test::run_messages(5);  // some changes arrive in the middle
    CHECK(calls_of(8) == "");
    test::run_messages(20);
    CHECK(calls_of(8) == "");
  }
  for (int i = 0; i < 500 && processor.microphone(0).kind != plugin::MicrophoneStatus::Kind::playing; ++i)
    test::run_messages(10);
  CHECK(processor.microphone(0).kind == plugin::MicrophoneStatus::Kind::playing);
  parameters.cabinet_on->setValueNotifyingHost(1);
  const auto system = test::system_calls(test::Watch::filter, [&] {
    for (int i = 0; i < 50; ++i) block();
  });
  if (system) CHECK(*system == "");
}

TEST_CASE("the processor uses no heap, locks or exceptions, whatever the user does") {
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

TEST_CASE("snapshots and MIDI use no heap, locks or exceptions, not even while the user teaches") {
  plugin::Processor processor;
  processor.prepareToPlay(kRate, kAnnounced);
  for (const int slot : {0, 1}) {
    processor.load_file(slot, juce::File(test::overdrive_path().string()));
    for (int i = 0; i < 500 && processor.status(slot).kind != plugin::SlotStatus::Kind::playing; ++i)
      test::run_messages(10);
    processor.set_active_slot(slot);
    processor.parameters().mix->setValueNotifyingHost(slot == 0 ? 0.5f : 1.0f);
    processor.store_snapshot(1 + slot);
  }
  const test::Planes sound = test::noise(2, kMostFrames);
  juce::AudioBuffer<float> audio(2, kMostFrames);
  const auto play = [&](const juce::MidiMessage& message) {
    juce::MidiBuffer midi;
    midi.addEvent(message, 0);
    for (int c = 0; c < 2; ++c) audio.copyFrom(c, 0, sound[size_t(c)].data(), kMostFrames);
    return test::forbidden_calls([&] { processor.processBlock(audio, midi); });
  };
  const auto teach = [&](const std::string& target, const juce::MidiMessage& message) {
    processor.learn_midi(target);
    CHECK(play(message) == "");
    for (int i = 0; i < 100 && !processor.midi_setup().source_of(target); ++i) test::run_messages(10);
    REQUIRE(processor.midi_setup().source_of(target));
  };
  const auto note = [](int number) { return juce::MidiMessage::noteOn(1, number, juce::uint8(100)); };
  const auto controller = [](int number, int value) { return juce::MidiMessage::controllerEvent(1, number, value); };
  teach("snapshot_a", note(36));
  teach("snapshot_b", note(37));
  teach("control_1", controller(74, 3));
  juce::RangedAudioParameter& snapshot = *processor.parameters().snapshot;
  for (int i = 0; i < 40; ++i) {
    if (i == 20) processor.learn_midi("control_2");
    if (i % 5 == 4) snapshot.setValue(snapshot.convertTo0to1(float(i % 3)));  // by the host
    CHECK(play(i % 3 == 0 ? note(36 + i % 2) : controller(i % 2 ? 74 : 90, i)) == "");
    if (i % 4 == 0) test::run_messages(5);
  }
}

TEST_CASE("during a learning the audio thread uses no heap, locks, exceptions or system calls") {
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
  for (int i = 0; i < 800; ++i) {  // until the ring wraps around
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

TEST_CASE("the built plugins and their host do not use the heap during playback, for any block size") {
  const std::string format = GENERATE(as<std::string>{}, "VST3", "LV2");
  test::HostedPlugin plugin(format, kRate, kMostFrames);
  plugin.open(test::overdrive_session());
  std::atomic<bool> done{true};
  play(*plugin, done);  // one-time work of the first blocks, in plugin and host
  const std::string calls = play(*plugin, done);
  INFO(format << ": " << calls);
  for (const char* entry : {"alloc", "memalign", "free"}) CHECK(calls.find(entry) == std::string::npos);
}

}  // namespace
