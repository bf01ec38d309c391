// Learning a device in the plugin: a host sends what went into it and what came back, and gets a model of it.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include "plugin/learn/learning.h"
#include "plugin/learn/thread_priority.h"
#include "plugin/processor.h"
#include "tests/plugin/processor_calls.h"
#include "tests/support/planes.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::LearnStatus;
using plugin::Processor;
using Stage = LearnStatus::Stage;

constexpr double kRate = 48000;
constexpr size_t kLatency = 333;

// Decaying bursts, and what an overdrive makes of them: late, and upside down.
struct Device {
  test::Signal dry, wet;

  explicit Device(size_t frames, uint32_t seed = 1, double late = kLatency) {
    double phase = 0, step = 0, level = 0, low = 0, smooth = 0;
    for (size_t t = 0; t < frames; ++t) {
      const auto random = [&] { return double(seed = seed * 1664525u + 1013904223u) / 4294967296.0; };
      if (t % 4000 == 0) step = 0.01 + 0.2 * random(), level = 0.1 + 0.4 * random();
      phase += step, level *= 0.9997;
      const double x = level * (std::sin(phase) + 0.6 * (random() - 0.5));
      low += 0.01 * (x - low);
      smooth += 0.4 * (std::tanh(4 * (x - low)) - smooth);
      dry.push_back(float(x)), wet.push_back(float(-0.5 * smooth));
    }
    wet.insert(wet.begin(), size_t(late), 0.0f);
    wet.resize(frames);
  }
  test::Signal without_delay() const {  // in the dry signal's polarity, as the model gives it
    test::Signal sound(wet.begin() + kLatency, wet.end());
    for (float& value : sound) value = -value;
    return sound;
  }
};

plugin::LearnSettings quick() {
  plugin::LearnSettings settings;
  settings.quality = "lite";
  settings.wanted_s = 8;
  settings.million_frames = 12;
  settings.gives_way = false;  // the tests' machine is busy
  return settings;
}

using Layout = juce::AudioProcessor::BusesLayout;
const auto kNone = juce::AudioChannelSet::disabled(), kMono = juce::AudioChannelSet::mono(),
           kStereo = juce::AudioChannelSet::stereo();

Layout layout(const juce::AudioChannelSet& in, const juce::AudioChannelSet& back, const juce::AudioChannelSet& out) {
  Layout layout;
  layout.inputBuses = {in, back};
  layout.outputBuses = {out};
  return layout;
}

// As a host that renders: no faster than the learning takes it, and far faster than it sounds. Returns the output.
test::Signal send(Processor& processor, const test::Signal& dry, const test::Signal* wet) {
  const int inputs = processor.getMainBusNumInputChannels(), channels = processor.getTotalNumInputChannels();
  juce::AudioBuffer<float> audio(std::max(channels, processor.getTotalNumOutputChannels()), 512);
  juce::MidiBuffer midi;
  test::Signal out;
  for (size_t begin = 0; begin + 512 <= dry.size(); begin += 512) {
    audio.clear();
    for (int c = 0; c < channels; ++c) {
      if (c < inputs)
        audio.copyFrom(c, 0, dry.data() + begin, 512);
      else if (wet)
        audio.copyFrom(c, 0, wet->data() + begin, 512);
    }
    processor.processBlock(audio, midi);
    out.insert(out.end(), audio.getReadPointer(0), audio.getReadPointer(0) + 512);
    if (begin % (1 << 17) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  return out;
}

double esr(std::span<const float> model, std::span<const float> device) {
  double error = 0, energy = 0;
  for (size_t t = 0; t < std::min(model.size(), device.size()); ++t) {
    error += std::pow(double(model[t]) - double(device[t]), 2);
    energy += std::pow(double(device[t]), 2);
  }
  return error / energy;
}

bool wait_long_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 6000 && !condition(); ++i) test::run_messages(10);
  return condition();
}

bool reaches(Processor& processor, Stage stage) {
  return wait_long_for([&] { return processor.learn_status().stage == stage; });
}

TEST_CASE("the return is a bus of its own that a host may leave out") {
  Processor processor;
  CHECK(processor.getTotalNumInputChannels() == 2);
  for (const auto& back : {kNone, kMono, kStereo}) {
    CHECK(processor.checkBusesLayoutSupported(layout(kStereo, back, kStereo)));
    CHECK(processor.checkBusesLayoutSupported(layout(kMono, back, kMono)));
    CHECK(processor.checkBusesLayoutSupported(layout(kMono, back, kStereo)));
    CHECK_FALSE(processor.checkBusesLayoutSupported(layout(kStereo, back, kMono)));
  }
  CHECK_FALSE(processor.checkBusesLayoutSupported(layout(kStereo, juce::AudioChannelSet::quadraphonic(), kStereo)));
}

TEST_CASE("a device is learned while it is played, heard as soon as it is better than nothing, kept, and plays") {
  const auto [in, back, out] = GENERATE(table<juce::AudioChannelSet, juce::AudioChannelSet, juce::AudioChannelSet>(
      {{kStereo, kStereo, kStereo}, {kMono, kMono, kStereo}}));
  const Device device(9 * size_t(kRate)), unheard(2 * size_t(kRate), 77);
  Processor processor;
  REQUIRE(processor.setBusesLayout(layout(in, back, out)));
  processor.prepareToPlay(kRate, 512);
  processor.learn_settings() = quick();
  processor.start_learning(Processor::LearnFrom::playing);
  CHECK(processor.learn_status().stage == Stage::gathering);
  send(processor, device.dry, &device.wet);
  CHECK(wait_long_for([&] { return processor.model(0) != nullptr; }));
  REQUIRE(reaches(processor, Stage::done));
  const LearnStatus status = processor.learn_status();
  INFO(status.message << " ESR " << status.esr);
  CHECK(status.lost_frames == 0);
  CHECK(status.has_model);
  CHECK(status.esr < 0.01);
  CHECK(status.esr_of_nothing > 0.1);
  REQUIRE(status.round_trip_ms);
  CHECK(*status.round_trip_ms == Approx(1000 * kLatency / kRate).margin(0.1));
  CHECK(status.curve.size() > 3);
  const bool turned = std::any_of(status.remarks.begin(), status.remarks.end(),
                                  [](const auto& remark) { return remark.text.find("inverted") != std::string::npos; });
  CHECK(turned);

  const juce::File file = processor.keep_learned("Test amp");
  REQUIRE(reaches(processor, Stage::kept));
  CHECK(file.existsAsFile());
  CHECK(file.withFileExtension("html").existsAsFile());
  CHECK(wait_long_for([&] { return processor.status(0).file == file && processor.status(0).name == "Test amp"; }));
  processor.discard_learned();  // what was kept stays
  test::finish();
  CHECK(processor.status(0).name == "Test amp");

  Processor again;
  again.prepareToPlay(kRate, 512);
  again.parameters().normalise->setValueNotifyingHost(0);
  test::load(again, 0, file);
  const test::Signal played = send(again, unheard.dry, nullptr);
  const size_t from = size_t(kRate) / 2;
  CHECK(esr(std::span(played).subspan(from), std::span(unheard.without_delay()).subspan(from)) < 0.02);
  file.withFileExtension("html").deleteFile();
  file.deleteFile();
}

TEST_CASE("what is discarded is gone, and what played before plays again, also where it was nothing") {
  const bool plays = GENERATE(false, true);
  const Device device(6 * size_t(kRate));
  Processor processor;
  REQUIRE(processor.setBusesLayout(layout(kMono, kMono, kMono)));
  processor.prepareToPlay(kRate, 512);
  if (plays) test::load(processor, 0, juce::File(test::overdrive_path().string()));
  const auto before = processor.model(0);
  processor.learn_settings() = quick();
  processor.start_learning(Processor::LearnFrom::playing);
  send(processor, device.dry, &device.wet);
  CHECK(wait_long_for([&] { return processor.model(0) != before; }));
  processor.discard_learned();
  CHECK(wait_long_for([&] { return processor.model(0) == before; }));
  CHECK(processor.learn_status().stage == Stage::idle);
  test::finish();
  CHECK(processor.status(0).name == (plays ? "Green Overdrive" : ""));
}

TEST_CASE("a model that the player chooses meanwhile stays, whatever is learned") {
  const Device device(9 * size_t(kRate));
  Processor processor;
  REQUIRE(processor.setBusesLayout(layout(kMono, kMono, kMono)));
  processor.prepareToPlay(kRate, 512);
  processor.learn_settings() = quick();
  processor.start_learning(Processor::LearnFrom::playing);
  test::load(processor, 0, juce::File(test::overdrive_path().string()));
  send(processor, device.dry, &device.wet);
  REQUIRE(reaches(processor, Stage::done));
  test::finish();
  CHECK(processor.status(0).name == "Green Overdrive");
  processor.discard_learned();
  test::finish();
  CHECK(processor.status(0).name == "Green Overdrive");
}

TEST_CASE("a return with nothing of the device in it is said, and nothing is published") {
  const Device device(6 * size_t(kRate));
  Processor processor;
  REQUIRE(processor.setBusesLayout(layout(kMono, kMono, kMono)));
  processor.prepareToPlay(kRate, 512);
  plugin::LearnSettings settings = quick();
  settings.wanted_s = 5;
  processor.learn_settings() = settings;
  const auto [wet, said] = GENERATE_COPY(
      table<test::Signal, std::string>({{test::Signal(device.dry.size()), "the return is silent"},
                                        {test::noise(1, device.dry.size())[0], "has nothing of the dry signal"}}));
  processor.start_learning(Processor::LearnFrom::playing);
  send(processor, device.dry, &wet);
  REQUIRE(reaches(processor, Stage::failed));
  INFO(processor.learn_status().message);
  CHECK(processor.learn_status().message.find(said) != std::string::npos);
  CHECK_THROWS(processor.keep_learned("  "));
  CHECK(processor.model(0) == nullptr);
}

TEST_CASE("a ring that is full loses whole blocks, counts them, and says where they are missing") {
  plugin::SignalRing ring(100);
  std::vector<float> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 1.0f);
  const auto write = [&](size_t at, size_t frames) {
    ring.write({{&numbers[at], &numbers[at]}, {&numbers[at], nullptr}}, frames);
  };
  write(0, 60);
  write(60, 60);   // no room
  write(120, 10);  // would fit, but not behind what is missing
  plugin::SignalPiece piece = ring.read();
  REQUIRE(piece.dry.size() == 120);
  CHECK(piece.dry[118] == 60);
  CHECK(piece.wet[118] == 60);
  CHECK(piece.wet[119] == 0);
  CHECK(piece.lost_frames == 70);
  write(130, 90);
  piece = ring.read();
  REQUIRE(piece.dry.size() == 180);
  CHECK(piece.dry[0] == 131);
  CHECK(piece.dry[178] == 220);
  CHECK(piece.lost_frames == 0);
  CHECK(ring.lost_frames() == 70);
}

TEST_CASE("between two threads every frame of the ring comes once and in order, or is counted") {
  plugin::SignalRing ring(256);
  constexpr size_t kFrames = 200000, kBlock = 50;
  std::thread writer([&] {
    std::array<float, kBlock> block{};
    for (size_t t = 0; t < kFrames; t += kBlock) {
      std::iota(block.begin(), block.end(), float(t));
      ring.write({{block.data(), block.data()}, {block.data(), block.data()}}, kBlock);
    }
  });
  size_t next = 0, lost = 0;
  bool in_order = true;
  while (next < kFrames) {
    const plugin::SignalPiece piece = ring.read();
    for (size_t i = 0; i < piece.dry.size(); i += 2) {
      in_order &= piece.dry[i] == float(next) && piece.wet[i + 1] == float(next);
      ++next;
    }
    next += piece.lost_frames, lost += piece.lost_frames;
  }
  writer.join();
  CHECK(in_order);
  CHECK(ring.lost_frames() == lost);
}

}  // namespace
