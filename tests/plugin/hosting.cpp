// The built VST3 and LV2 in a host: what the host finds, hears and saves.
#include <malloc.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "dsp/rack.h"
#include "base/error.h"
#include "tests/plugin/hosted_plugin.h"
#include "tests/plugin/sessions.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using test::HostedPlugin;
using test::Planes;

constexpr double kRate = 48000;
constexpr size_t kBlock = 64;

std::string each_format() { return GENERATE(as<std::string>{}, "VST3", "LV2"); }

// The output of the rack, called directly. The controls are values that a host's float from 0 to 1 represents exactly.
Planes expected(const Planes& in, const std::vector<float>& controls, double rate_hz) {
  dsp::Rack rack;
  rack.settings().normalise = false;
  rack.prepare({rate_hz, int(kBlock), int(in.size())});
  rack.load(0, ssm::Model::load(test::overdrive_path()), controls);
  rack.prepare({rate_hz, int(kBlock), int(in.size())});
  const std::vector<size_t> blocks(in[0].size() / kBlock, kBlock);
  return test::run_all(rack, in, blocks);
}

double worst_difference(const Planes& a, const Planes& b) {
  double most = 0;
  for (size_t c = 0; c < a.size(); ++c) most = std::max(most, test::largest_difference(a[c], b[c]));
  return most;
}

// The allocated memory of all threads; resident memory would include free blocks.
long allocated_kb() {
  const struct mallinfo2 heap = mallinfo2();
  return long((heap.uordblks + heap.hblkhd) / 1024);
}

TEST_CASE("a host finds one effect with its fixed parameters") {
  const std::string format = each_format();
  const juce::PluginDescription description = test::scan(format);
  CHECK_FALSE(description.isInstrument);
  CHECK(description.numInputChannels == (format == "LV2" ? 4 : 2));  // an LV2 port is always present
  CHECK(description.numOutputChannels == 2);
  HostedPlugin plugin(format, kRate, int(kBlock));
  for (const char* name :
       {"Input gain", "Output gain", "Mix", "Gate threshold", "Normalise level", "Channels", "Control 1", "Control 16",
        "Cabinet", "Equaliser", "Low shelf gain", "High shelf frequency", "Low mid Q", "Low cut", "High cut", "Tuner",
        "Calibrated level", "Input full scale", "Snapshot"}) {
    INFO(format << ": " << name);
    REQUIRE(plugin.parameter(name));
    CHECK(plugin.parameter(name)->isAutomatable());
  }
  CHECK_FALSE(plugin->supportsDoublePrecisionProcessing());
}

TEST_CASE("an empty plugin passes the sound through to the bit") {
  HostedPlugin plugin(each_format(), kRate, int(kBlock));
  const Planes in = test::noise(2, 4800);
  CHECK(plugin.run(in, kBlock) == in);
  CHECK(plugin->getLatencySamples() == 0);
}

TEST_CASE("a host that connects the side chain hears the same of the track") {
  HostedPlugin plugin("VST3", kRate, int(kBlock));
  REQUIRE(plugin->getBusCount(true) == 2);
  CHECK_FALSE(plugin->getBus(true, 1)->isEnabled());
  CHECK(plugin->getBus(true, 1)->getName() == "Return");
  plugin.open(test::overdrive_session());
  const Planes in = test::noise(2, kBlock * 50);
  plugin.prepare(kRate, int(kBlock));
  const Planes alone = plugin.run(in, kBlock);
  plugin->releaseResources();
  REQUIRE(plugin->getBus(true, 1)->enable(true));
  plugin.prepare(kRate, int(kBlock));
  REQUIRE(plugin->getTotalNumInputChannels() == 4);
  CHECK(worst_difference(plugin.run(in, kBlock), alone) == 0);
}

TEST_CASE("a session opens in a host and sounds as the rack does, to the bit") {
  HostedPlugin plugin(each_format(), kRate, int(kBlock));
  plugin.open(test::overdrive_session({{"drive", 7.5f}, {"level", -14}}));
  plugin.prepare(kRate, int(kBlock));
  const Planes in = test::noise(2, kBlock * 300);
  const Planes out = plugin.run(in, kBlock);
  CHECK(worst_difference(out, expected(in, {7.5f, 5, -14}, kRate)) == 0);
  CHECK(worst_difference(out, in) > 0.1);
}

TEST_CASE("a host recalls a snapshot by its parameter") {
  const std::string format = each_format();
  plugin::Session session = test::overdrive_session({{"drive", 2}}), wanted = test::overdrive_session({{"drive", 9}});
  wanted.chain["output_gain"] = -6;
  session.snapshots.all[1] = plugin::Snapshot{0, {{"output_gain", -6.0f}}, {{"drive", 9.0f}}, {}};
  const Planes in = test::noise(2, kBlock * 750);  // longer than the overdrive remembers
  const auto play = [&](const plugin::Session& opened, bool recalls) {
    HostedPlugin plugin(format, kRate, int(kBlock));
    plugin.open(opened);
    plugin.prepare(kRate, int(kBlock));
    auto* snapshot = plugin.parameter("Snapshot");
    REQUIRE(snapshot);
    if (recalls) snapshot->setValueNotifyingHost(0.5f);  // B
    plugin.run(in, kBlock);
    return plugin.run(in, kBlock);
  };
  const Planes expected = play(wanted, false);
  INFO(format);
  CHECK(worst_difference(play(session, true), expected) < 1e-4);
  CHECK(worst_difference(play(session, false), expected) > 0.01);
}

// A host asks when it has set the rate, before it activates the plugin, and JUCE's host does not ask again.
TEST_CASE("the latency is right at once when the host changes the rate") {
  HostedPlugin plugin("VST3", kRate, int(kBlock));
  plugin.open(test::overdrive_session());
  const auto latency_of = [](double rate_hz) {
    dsp::Rack rack;
    rack.prepare({rate_hz, int(kBlock), 2});
    rack.load(0, ssm::Model::load(test::overdrive_path()));
    return rack.latency_frames();
  };
  for (const double rate_hz : {44100.0, 48000.0, 96000.0, 44100.0}) {
    plugin.prepare(rate_hz, int(kBlock));
    INFO(rate_hz);
    CHECK(plugin->getLatencySamples() == latency_of(rate_hz));
  }
  CHECK(latency_of(44100) > latency_of(48000));
}

TEST_CASE("a state opens in a new instance without the model's file, and sounds the same to the bit") {
  const std::string format = each_format();
  const Planes in = test::noise(2, kBlock * 300);
  HostedPlugin first(format, kRate, int(kBlock));
  first.open(test::overdrive_session({{"drive", 9.1f}, {"tone", 2.2f}}));
  if (auto* output = first.parameter("Output gain")) output->setValueNotifyingHost(0.37f);
  first.run(test::noise(2, 4800), kBlock);
  const juce::MemoryBlock state = first.state();
  first.prepare(kRate, int(kBlock));
  const Planes out = first.run(in, kBlock);

  setenv("COIL_PRESETS", "/nowhere", 1);
  HostedPlugin second(format, kRate, int(kBlock));
  second.set_state(state);
  second.prepare(kRate, int(kBlock));
  CHECK(worst_difference(second.run(in, kBlock), out) == 0);
  setenv("COIL_PRESETS", COIL_PRESETS_DIR, 1);
}

TEST_CASE("the controls take the model's names, texts and units in a host that can hear of it") {
  HostedPlugin plugin("VST3", kRate, int(kBlock));
  plugin.open(test::overdrive_session({{"level", -14}}));
  test::run_messages(200);
  for (const char* name : {"drive", "tone", "level"}) CHECK(plugin.parameter(name));
  auto* level = plugin.parameter("level");
  REQUIRE(level);
  CHECK(level->getLabel() == "dB");
  CHECK(level->getValue() == Approx(0.5f));
  CHECK(level->getCurrentValueAsText().getDoubleValue() == Approx(-14));
  CHECK(level->getText(1.0f, 20).getDoubleValue() == Approx(12));
  CHECK(level->getValueForText("-40") == Approx(0));
  CHECK(plugin.parameter("Control 4"));
}

TEST_CASE("a host's automation is heard") {
  const std::string format = each_format();
  HostedPlugin plugin(format, kRate, int(kBlock));
  plugin.open(test::overdrive_session({{"level", 0}}));
  auto* level = plugin.parameter(format == "LV2" ? "Control 3" : "level");  // LV2 names are fixed in a file
  REQUIRE(level);
  const Planes in = test::noise(2, 48000);
  const auto peak = [&](const Planes& planes) {
    return test::largest_difference(planes[0], test::Signal(planes[0].size()));
  };
  const double loud = peak(plugin.run(in, kBlock));
  level->setValueNotifyingHost(20.0f / 52);  // -20 dB
  plugin.run(test::noise(2, 4800), kBlock);
  INFO(format);
  CHECK(peak(plugin.run(in, kBlock)) == Approx(0.1 * loud).epsilon(0.01));
}

TEST_CASE("any block serves: none, one frame, odd sizes") {
  const std::string format = each_format();
  const Planes in = test::noise(2, 20000);
  HostedPlugin even(format, kRate, int(kBlock));
  even.open(test::overdrive_session());
  even.prepare(kRate, int(kBlock));
  const Planes reference = even.run(in, kBlock);
  const std::vector<size_t> odd{0, 1, 1, 0, 7, 63, 65, 0, 129, 1000, 31};
  HostedPlugin plugin(format, kRate, 1024);
  plugin.open(test::overdrive_session());
  plugin.prepare(kRate, 1024);
  CHECK(worst_difference(plugin.run(in, 333, odd), reference) < 1e-5);  // the tolerance of golden files
}

TEST_CASE("the latency that the host is told is right to the sample at every rate") {
  const std::string format = each_format();
  const bool bypassed = GENERATE(false, true);
  for (const double rate : {22050.0, 32000.0, 44100.0, 48000.0, 88200.0, 96000.0, 176400.0, 192000.0}) {
    INFO(format << " at " << rate << (bypassed ? ", bypassed" : ", dry"));
    HostedPlugin plugin(format, rate, int(kBlock));
    plugin.open(test::overdrive_session());
    plugin.prepare(rate, int(kBlock));
    auto* parameter = bypassed ? plugin->getBypassParameter() : plugin.parameter("Mix");
    const float dry = bypassed ? 1 : 0;
    Planes silence(2, test::Signal(8192)), impulse = silence;
    for (auto& plane : impulse) plane[100] = 0.7f;
    // If the plugin reports a change from its background thread at the same moment, JUCE's host takes the old value
    // back, before the measurement or during it.
    Planes found;
    for (int tries = 0; found.empty() || parameter->getValue() != dry; ++tries) {
      REQUIRE(tries < 50);
      found.clear();
      parameter->setValueNotifyingHost(dry);
      plugin.run(silence, kBlock);  // LV2 hosts get a new latency after a block; and ramps have ended
      test::run_messages(20);       // both hosts get it through messages
      if (parameter->getValue() == dry) found = plugin.run(impulse, kBlock);
    }
    const size_t latency = size_t(plugin->getLatencySamples());
    Planes delayed = silence;
    for (auto& plane : delayed) plane[100 + latency] = 0.7f;
    CHECK(worst_difference(found, delayed) == 0);
    CHECK(latency <= 512);
  }
}

TEST_CASE("mono is one channel of stereo") {
  HostedPlugin stereo("VST3", kRate, int(kBlock)), mono("VST3", kRate, int(kBlock), 1);
  const Planes in = test::noise(2, 9600);
  for (HostedPlugin* plugin : {&stereo, &mono}) {
    plugin->open(test::overdrive_session());
    plugin->prepare(kRate, int(kBlock));
  }
  const Planes both = stereo.run(in, kBlock);
  CHECK(worst_difference({both[0]}, mono.run({in[0]}, kBlock)) < 1e-6);
  CHECK(worst_difference({both[0]}, {both[1]}) > 0.01);  // each channel has different sound
}

TEST_CASE("a project can change its models during playback a thousand times") {
  const std::string format = each_format();
  const int changes = format == "VST3" ? 1000 : 200;  // JUCE's LV2 host is slower than the plugin
  HostedPlugin plugin(format, kRate, int(kBlock));
  plugin.open({});
  const juce::MemoryBlock empty = plugin.state();
  const plugin::Session overdrive = test::overdrive_session({{"drive", 2.5f}, {"level", -14}});
  plugin.open(overdrive);
  const juce::MemoryBlock playing = plugin.state();
  std::atomic<bool> done{false}, finite{true};
  std::atomic<int> blocks{0};
  std::thread audio([&] {
    const Planes in = test::noise(2, kBlock);
    while (!done) {
      const Planes out = plugin.run(in, kBlock);
      for (const auto& plane : out)
        for (const float x : plane) finite = finite && std::isfinite(x) && std::fabs(x) < 100;
      ++blocks;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  long early = 0;
  for (int i = 0; i < changes; ++i) {
    const juce::MemoryBlock& state = i % 2 ? playing : empty;
    plugin->setStateInformation(state.getData(), int(state.getSize()));
    test::run_messages(1);  // until then JUCE's LV2 host queues the plugin's messages of each block
    if (i != changes / 5) continue;
    test::run_messages(500);  // on a busy machine, pending messages also hold memory
    early = allocated_kb();
  }
  test::run_messages(500);
  const long late = allocated_kb();
  done = true;
  audio.join();
  CHECK(finite);
  CHECK(blocks > 100);
  INFO(format << ": " << early << " kB after a fifth, " << late << " kB at the end");
  CHECK(late - early < 4096);
  plugin.open(overdrive);
  plugin.prepare(kRate, int(kBlock));
  const Planes in = test::noise(2, kBlock * 50);
  CHECK(worst_difference(plugin.run(in, kBlock), expected(in, {2.5f, 5, -14}, kRate)) == 0);
}

TEST_CASE("further instances share the model's weights and its file") {
  const std::string format = each_format();
  plugin::Session session;
  {
    const test::TempDir dir;
    std::string layers;
    for (const char* name : {"a", "b", "c", "d", "e", "f"})
      layers +=
          (layers.empty() ? "" : ", ") + (R"({"parts": [{"type": "linear", "name": ")" + std::string(name) + R"("}]})");
    test::model_file(
        R"({"model_type": "coil", "d_input": 1, "d_output": 1, "d_model": 416, "layers": [)" + layers + "]}", 3)
        .write(dir / "big.safetensors");
    plugin::ModelLibrary library(plugin::LibraryFolders{});
    session.slots[0] = plugin::slot_with(library.load(juce::File((dir / "big.safetensors").string())), "");
  }
  const long file_kb = long(session.slots[0].file_bytes->size() / 1024);
  HostedPlugin first(format, kRate, int(kBlock)), second(format, kRate, int(kBlock)), third(format, kRate, int(kBlock));
  first.open(session);
  const long one = allocated_kb();
  second.open(session);
  third.open(session);
  const long three = allocated_kb();
  INFO(format << ": a file of " << file_kb << " kB, two further instances take " << three - one << " kB");
  CHECK(three - one < file_kb);  // separate weights and files would take twice as much each
}

TEST_CASE("preparing again and again grows neither latency nor memory, and changes no sound") {
  const std::string format = each_format();
  HostedPlugin plugin(format, 44100, int(kBlock));
  plugin.open(test::overdrive_session());
  plugin.prepare(44100, int(kBlock));
  const Planes in = test::noise(2, kBlock * 100);
  const Planes first = plugin.run(in, kBlock);
  const int latency = plugin->getLatencySamples();
  long early = 0;
  for (int i = 0; i < 100; ++i) {
    plugin->releaseResources();
    plugin.prepare(i % 2 ? 44100 : 96000, i % 3 ? 64 : 512);
    plugin.run(test::noise(2, 256), kBlock);
    if (i == 20) early = allocated_kb();
  }
  CHECK(allocated_kb() - early < 4096);
  plugin->releaseResources();
  plugin.prepare(44100, int(kBlock));
  CHECK(worst_difference(plugin.run(in, kBlock), first) == 0);
  CHECK(plugin->getLatencySamples() == latency);
}

TEST_CASE("a model that is missing passes the sound through, and is not lost when the project is saved") {
  HostedPlugin plugin(each_format(), kRate, int(kBlock));
  plugin::Session session = test::overdrive_session({{"drive", 3.25f}}, false);
  session.slots[0].path = "/nowhere/green.safetensors";
  session.slots[0].hash = "00000000000000000000000000000000";
  plugin.open(session);
  plugin.prepare(kRate, int(kBlock));
  const Planes in = test::noise(2, 4800);
  CHECK(plugin.run(in, kBlock) == in);
  const plugin::SlotContent saved = plugin.saved().slots[0];
  CHECK(saved.hash == session.slots[0].hash);
  CHECK(saved.path == session.slots[0].path);
  CHECK(saved.name == session.slots[0].name);
  CHECK(saved.controls == session.slots[0].controls);
}

TEST_CASE("an unreadable state leaves the plugin usable, and is returned unchanged") {
  HostedPlugin plugin("VST3", kRate, int(kBlock));
  plugin.open(test::overdrive_session({{"level", -14}}));
  juce::XmlElement xml("VST3PluginState");
  const juce::MemoryBlock damaged("COIL, and then nothing of use to anybody", 40);
  xml.createNewChildElement("IComponent")->addTextElement(damaged.toBase64Encoding());
  juce::MemoryBlock state;
  juce::AudioProcessor::copyXmlToBinary(xml, state);
  plugin.set_state(state);
  plugin.prepare(kRate, int(kBlock));
  const Planes in = test::noise(2, kBlock * 50);
  CHECK(worst_difference(plugin.run(in, kBlock), expected(in, {5, 5, -14}, kRate)) == 0);
  CHECK_THROWS_AS(plugin.saved(), Error);
}

}  // namespace
