// Learning a device in the plugin: a host sends its input and output, and gets a model of it.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <memory>
#include <span>
#include <thread>

#include "plugin/learn/learning.h"
#include "plugin/learn/thread_priority.h"
#include "plugin/processor.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/plugin/simulated_device.h"
#include "tests/support/planes.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::LearnStatus;
using plugin::Processor;
using Stage = LearnStatus::Stage;

constexpr double kRate = 48000;
using test::Device, test::kLatency;

plugin::LearnSettings quick() {
  plugin::LearnSettings settings;
  settings.quality = "lite";
  settings.wanted_s = 8;
  settings.million_frames = 8;
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

// Like an offline render: as fast as the learning reads it, much faster than real time. Returns the output.
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
  const auto now = [&] { return processor.learn_status().stage; };
  wait_long_for([&] { return now() == stage || now() == Stage::failed; });
  UNSCOPED_INFO(processor.learn_status().message);
  return now() == stage;
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

TEST_CASE(
    "a device is learned while it is played, the model plays once it is better than the dry sound, and can be kept") {
  const auto [in, back, out] = GENERATE(table<juce::AudioChannelSet, juce::AudioChannelSet, juce::AudioChannelSet>(
      {{kStereo, kStereo, kStereo}, {kMono, kMono, kStereo}}));
  const Device device(9 * size_t(kRate)), unheard(2 * size_t(kRate), 77);
  Processor processor;
  REQUIRE(processor.setBusesLayout(layout(in, back, out)));
  processor.prepareToPlay(kRate, 512);
  processor.learn_settings() = quick();
  processor.learn_settings().million_frames = 20;  // the trainer looks at the held-out parts every six millions
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
  CHECK(wait_long_for([&] {
    return processor.status(0).file == file && processor.status(0).kind == plugin::SlotStatus::Kind::playing;
  }));
  CHECK(processor.status(0).name == "Test amp");
  processor.discard_learned();  // a kept model stays
  test::finish();
  CHECK(processor.status(0).name == "Test amp");

  Processor again;
  again.prepareToPlay(kRate, 512);
  again.parameters().normalise->setValueNotifyingHost(0);
  test::load(again, 0, file);
  const test::Signal played = send(again, unheard.dry, nullptr);
  const size_t from = size_t(kRate) / 2;
  const test::Signal expected = unheard.without_delay();
  CHECK(esr(std::span(played).subspan(from), std::span(expected).subspan(from)) < 0.02);
  file.withFileExtension("html").deleteFile();
  file.deleteFile();
}

TEST_CASE("discarding a learned model restores the previous one, also an empty slot") {
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

TEST_CASE("a model that the user chooses during a learning stays") {
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

TEST_CASE("a return without the device's sound is reported, and no model is published") {
  const Device device(6 * size_t(kRate));
  Processor processor;
  REQUIRE(processor.setBusesLayout(layout(kMono, kMono, kMono)));
  processor.prepareToPlay(kRate, 512);
  plugin::LearnSettings settings = quick();
  settings.wanted_s = 5;
  processor.learn_settings() = settings;
  const bool is_silent = GENERATE(true, false);
  const test::Signal wet = is_silent ? test::Signal(device.dry.size()) : test::noise(1, device.dry.size())[0];
  const std::string said = is_silent ? "the return is silent" : "has nothing of the dry signal";
  processor.start_learning(Processor::LearnFrom::playing);
  send(processor, device.dry, &wet);
  REQUIRE(reaches(processor, Stage::failed));
  INFO(processor.learn_status().message);
  CHECK(processor.learn_status().message.find(said) != std::string::npos);
  CHECK_THROWS(processor.keep_learned("  "));
  CHECK(processor.model(0) == nullptr);
}

// Creates it as coil-live does.
std::unique_ptr<Processor> live_processor() {
  juce::AudioProcessor::setTypeOfNextNewPlugin(juce::AudioProcessor::wrapperType_Standalone);
  auto processor = std::make_unique<Processor>();
  juce::AudioProcessor::setTypeOfNextNewPlugin(juce::AudioProcessor::wrapperType_Undefined);
  processor->disableNonMainBuses();
  processor->prepareToPlay(kRate, 512);
  processor->learn_settings() = quick();
  return processor;
}

TEST_CASE(
    "coil-live takes the dry sound from input 1 and the return from input 2, and plays only the first meanwhile") {
  const Device device(9 * size_t(kRate));
  const auto processor = live_processor();
  REQUIRE(processor->is_live());
  juce::AudioBuffer<float> audio(2, 512);
  juce::MidiBuffer midi;
  const auto block = [&](size_t at) {
    audio.copyFrom(0, 0, &device.dry[at], 512);
    audio.copyFrom(1, 0, &device.wet[at], 512);
    processor->processBlock(audio, midi);
  };
  block(0);
  CHECK(audio.getSample(1, 511) == device.wet[511]);
  processor->start_learning(Processor::LearnFrom::playing);
  for (size_t at = 0; at + 512 <= device.dry.size(); at += 512) {
    block(at);
    if (at == 512 * 20) CHECK(audio.getSample(1, 511) == device.dry[at + 511]);
    if (at % (1 << 17) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  REQUIRE(reaches(*processor, Stage::done));
  CHECK(processor->learn_status().esr < 0.01);
}

TEST_CASE("coil-live plays the test signal through a device, measures the round trip and learns it") {
  constexpr size_t kOnTheWay = 1024 + 37;
  const auto processor = live_processor();
  processor->learn_settings().million_frames = 20;
  processor->start_learning(Processor::LearnFrom::test_signal);
  std::vector<float> way(kOnTheWay);
  juce::AudioBuffer<float> audio(2, 512);
  juce::MidiBuffer midi;
  double smooth = 0;
  float loudest = 0;
  for (size_t at = 0; at < 13 * size_t(kRate); at += 512) {
    audio.clear();
    audio.copyFrom(1, 0, way.data(), 512);  // on input 2; input 1 is silent
    processor->processBlock(audio, midi);
    way.erase(way.begin(), way.begin() + 512);
    for (int t = 0; t < 512; ++t) {
      const float sent = audio.getSample(0, t);
      loudest = std::max(loudest, std::fabs(sent));
      smooth += 0.7 * (std::tanh(3 * double(sent)) - smooth);
      way.push_back(float(0.4 * smooth));
    }
    if (at % (1 << 17) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  CHECK(loudest > 0.4f);
  processor->stop_learning();
  REQUIRE(reaches(*processor, Stage::done));
  const LearnStatus status = processor->learn_status();
  CHECK(status.plays_signal);
  REQUIRE(status.round_trip_ms);
  CHECK(*status.round_trip_ms == Approx(1000.0 * kOnTheWay / kRate).margin(0.05));
  CHECK(status.esr < 0.03);
  audio.clear();
  processor->processBlock(audio, midi);
  CHECK(audio.getMagnitude(0, 512) < 1e-3f);  // playback has ended
}

TEST_CASE("a capture of another program becomes a model in the background, in the library and in the slot") {
  Processor processor;
  processor.prepareToPlay(kRate, 512);
  plugin::LearnSettings settings = quick();
  settings.million_frames = 6;
  processor.learn_settings() = settings;
  processor.start_converting(juce::File(COIL_CAPTURE_TESTS_DIR "/teachers/lstm.nam"));
  CHECK(processor.learn_status().converts);
  REQUIRE(reaches(processor, Stage::kept));
  REQUIRE(wait_long_for([&] { return processor.model(0) != nullptr; }));
  CHECK(processor.status(0).name == "lstm");
  const juce::File file = processor.status(0).file;
  CHECK(file == processor.library().user_folder().getChildFile("learned/lstm.safetensors"));
  CHECK_FALSE(processor.model(0)->card().licence.empty());
  file.getParentDirectory().deleteRecursively();

  processor.start_converting(juce::File("/nowhere/amp.nam"));
  REQUIRE(reaches(processor, Stage::failed));
  CHECK(processor.learn_status().message.find("'/nowhere/amp.nam' cannot be opened") != std::string::npos);
}

}  // namespace
