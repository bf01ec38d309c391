// Nothing else waits while a model loads and settles, and requests in the meantime have the expected result.
#include <catch2/catch.hpp>
#include <filesystem>

#include "plugin/processor.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::Processor;
using Kind = plugin::SlotStatus::Kind;
using test::finish, test::load, test::open, test::run, test::saved, test::set;

constexpr double kRate = 48000;

const juce::File kOverdrive(test::overdrive_path().string());

// A network that needs 22 s of silence to settle: loading it takes about a second.
juce::File slow_model(const test::TempDir& folder, int seed) {
  auto file =
      test::model_file(R"({"model_type": "coil", "sample_rate": 48000, "d_input": 1, "d_output": 1, "d_model": 16,
    "direct": true, "norm_f": false,
    "layers": [{"repeat": 2, "parts": [{"type": "rmsnorm", "name": "norm"},
                                       {"type": "mamba1", "name": "mixer", "d_state": 8}, {"type": "film"}]}],
    "controls": {"count": 2, "hidden": 8}})",
                       uint32_t(seed));
  file.card_json = R"({"name": "Slow )" + std::to_string(seed) + R"(", "sample_rate": 48000, "settle_frames": 1048576,
    "controls": [{"name": "bite", "min": 0, "max": 10, "default": 5, "to": "network"},
                 {"name": "body", "min": -100, "max": 100, "default": 0, "to": "network"}]})";
  const auto path = folder / ("slow" + std::to_string(seed) + ".safetensors");
  file.write(path);
  return juce::File(path.string());
}

juce::String slow_name(int seed) { return "Slow " + juce::String(seed); }

void play_overdrive(Processor& processor) {
  processor.prepareToPlay(kRate, test::kBlock);
  load(processor, 0, kOverdrive);
}

TEST_CASE("while a model settles, the window's and the host's calls go through, and the state is whole") {
  const test::TempDir folder;
  Processor processor;
  play_overdrive(processor);
  const auto before = processor.model(0);
  processor.load_file(0, slow_model(folder, 1));
  int rounds = 0;
  while (processor.status(0).kind == Kind::loading && rounds < 20) {
    set(*processor.parameters().mix, rounds % 2 ? 0.5f : 0.75f);
    processor.set_active_slot(1);
    processor.set_active_slot(0);
    run(processor, test::noise(2, 4 * test::kBlock));
    const plugin::Session session = saved(processor);
    const auto model = processor.model(0);
    processor.can_undo();
    if (processor.status(0).kind != Kind::loading) break;
    ++rounds;  // the whole round happened while it was loading
    CHECK(session.slots[0].name == "Green Overdrive");
    CHECK(session.slots[0].controls.size() == 3);
    CHECK(session.slots[0].hash == before->hash());
    CHECK(model == before);
  }
  CHECK(rounds > 0);
  finish();
  CHECK(processor.status(0).kind == Kind::playing);
  CHECK(processor.status(0).name == slow_name(1));
  const plugin::Session session = saved(processor);
  CHECK(session.slots[0].name == slow_name(1).toStdString());
  CHECK(session.slots[0].controls.size() == 2);
  CHECK(session.slots[0].hash == processor.model(0)->hash());
}

TEST_CASE("values that a host sets during a load apply to the new model, knobs that the user turns to the old one") {
  const test::TempDir folder;
  Processor processor, again;
  play_overdrive(processor);
  play_overdrive(again);
  auto& parameters = processor.parameters();
  processor.load_file(0, slow_model(folder, 2));
  set(*parameters.controls[0], 0.9f);  // by hand
  parameters.controls[1]->setValueNotifyingHost(0.7f);
  parameters.controls[2]->setValueNotifyingHost(0.2f);  // the new model has no such control
  parameters.mix->setValueNotifyingHost(0.25f);
  REQUIRE(processor.status(0).kind == Kind::loading);
  finish();
  REQUIRE(processor.status(0).name == slow_name(2));
  CHECK(parameters.controls[0]->value_in_units() == 5);
  CHECK(parameters.controls[1]->value_in_units() == Approx(40));
  CHECK(parameters.mix->get() == 25);
  CHECK(saved(processor).slots[0].controls.at("body") == Approx(40));

  open(again, saved(processor));
  const test::Planes in = test::noise(2, 4800);
  for (Processor* each : {&processor, &again}) each->prepareToPlay(kRate, test::kBlock);
  CHECK(run(processor, in) == run(again, in));  // so that it is heard
}

TEST_CASE("of several quick requests the last one wins, and undo has one load") {
  const test::TempDir folder;
  Processor processor;
  processor.prepareToPlay(kRate, test::kBlock);
  for (const int seed : {3, 4}) processor.load_file(0, slow_model(folder, seed));
  processor.load_file(0, kOverdrive);
  CHECK(processor.status(0).kind == Kind::loading);
  finish();
  CHECK(processor.status(0).kind == Kind::playing);
  CHECK(processor.status(0).name == "Green Overdrive");
  processor.undo();
  finish();
  CHECK(processor.status(0).kind == Kind::empty);
  CHECK_FALSE(processor.can_undo());
}

TEST_CASE("loads into both slots both take effect, whichever slot is active") {
  const test::TempDir folder;
  Processor processor;
  processor.prepareToPlay(kRate, test::kBlock);
  processor.load_file(0, slow_model(folder, 5));
  processor.load_file(1, kOverdrive);
  processor.set_active_slot(1);
  finish();
  CHECK(processor.status(0).name == slow_name(5));
  CHECK(processor.status(1).name == "Green Overdrive");
  CHECK(processor.active_slot() == 1);
  CHECK(processor.parameters().controls[0]->getName(20) == "drive");
}

TEST_CASE("undo, an emptied slot and the host's session drop what loads") {
  const test::TempDir folder;
  Processor processor;
  play_overdrive(processor);
  const juce::File slow = slow_model(folder, 6);
  const auto asks = GENERATE(0, 1, 2);
  processor.load_file(0, slow);
  if (asks == 0) processor.undo();
  if (asks == 1) processor.clear(0);
  if (asks == 2) open(processor, test::overdrive_session({{"drive", 9}}));
  CHECK(processor.status(0).kind == (asks == 1 ? Kind::empty : Kind::playing));
  finish();
  CHECK(processor.status(0).name == (asks == 1 ? "" : "Green Overdrive"));
  if (asks == 2) CHECK(processor.parameters().controls[0]->value_in_units() == 9);
  if (asks == 0) CHECK_FALSE(processor.can_redo());
  CHECK((processor.model(0) != nullptr) == (asks != 1));
}

TEST_CASE("undo of a load waits for nothing either, and keeps what is chosen and set meanwhile") {
  const test::TempDir folder;
  Processor processor;
  play_overdrive(processor);
  load(processor, 0, slow_model(folder, 7));
  set(*processor.parameters().controls[0], 0.3f);  // so that its settled state differs from that after loading
  load(processor, 0, kOverdrive);
  processor.undo();
  processor.set_active_slot(1);
  processor.parameters().mix->setValueNotifyingHost(0.5f);
  const bool was_under_way = processor.status(0).name == "Green Overdrive";
  finish();
  CHECK(was_under_way);
  CHECK(processor.status(0).name == slow_name(7));
  CHECK(processor.active_slot() == 1);
  CHECK(processor.parameters().mix->get() == 50);
  processor.set_active_slot(0);
  CHECK(processor.parameters().controls[0]->value_in_units() == 3);
}

TEST_CASE("every undo and redo counts, however fast, and so do later changes") {
  const test::TempDir folder;
  Processor processor;
  play_overdrive(processor);
  load(processor, 0, slow_model(folder, 10));
  set(*processor.parameters().controls[0], 0.4f);
  load(processor, 0, kOverdrive);
  for (int i = 0; i < 3; ++i) processor.undo();  // the load, the knob, the slow model
  finish();
  CHECK(processor.status(0).name == "Green Overdrive");
  for (int i = 0; i < 2; ++i) processor.redo();
  processor.undo();
  finish();
  CHECK(processor.status(0).name == slow_name(10));
  CHECK(processor.parameters().controls[0]->value_in_units() == 5);
  processor.redo();
  processor.clear(0);  // after it
  finish();
  CHECK(processor.status(0).kind == Kind::empty);
  CHECK_FALSE(processor.model(0));
}

TEST_CASE("a host that prepares anew while a model loads gets it for its new rate") {
  const test::TempDir folder;
  Processor processor;
  play_overdrive(processor);
  Processor fresh;
  const juce::File slow = slow_model(folder, 8);
  processor.load_file(0, slow);
  processor.prepareToPlay(96000, test::kBlock);
  finish();
  fresh.prepareToPlay(96000, test::kBlock);
  load(fresh, 0, slow);
  finish();
  CHECK(processor.status(0).name == slow_name(8));
  CHECK(processor.getLatencySamples() == fresh.getLatencySamples());
  CHECK(processor.getLatencySamples() > 0);
  const test::Planes in = test::noise(2, 4800);
  for (Processor* each : {&processor, &fresh}) each->prepareToPlay(96000, test::kBlock);
  CHECK(run(processor, in) == run(fresh, in));
}

TEST_CASE("a model with more channels than the host is rejected, and the current one plays on") {
  const test::TempDir folder;
  test::model_file(R"({"model_type": "coil", "d_input": 3, "d_output": 3, "d_model": 4, "direct": true, "norm_f": false,
    "layers": [{"repeat": 1, "parts": [{"type": "mamba2", "name": "mixer", "d_state": 4, "headdim": 4}]}]})",
                   9)
      .write(folder / "three.safetensors");
  Processor processor;
  play_overdrive(processor);
  const auto model = processor.model(0);
  load(processor, 0, juce::File((folder / "three.safetensors").string()));
  CHECK(processor.status(0).load_error.contains("three.safetensors: the model takes 3 channels, the audio has 2"));
  CHECK(processor.status(0).kind == Kind::playing);
  CHECK(processor.model(0) == model);
}

}  // namespace
