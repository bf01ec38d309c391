// The processor without a host's wrapper: the functions for the window, and behaviour that a host cannot see.
#include "plugin/processor.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "dsp/rack.h"
#include "base/error.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/support/random_network.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::Processor;
using Kind = plugin::SlotStatus::Kind;
using test::finish, test::load, test::open, test::run, test::saved, test::set, test::wait_for;

constexpr double kRate = 48000;
constexpr int kBlock = test::kBlock;

const juce::File kOverdrive(test::overdrive_path().string());

// Without the fade after a load, from the first block on.
void play_overdrive(Processor& processor) {
  processor.prepareToPlay(kRate, kBlock);
  open(processor, test::overdrive_session());
  processor.prepareToPlay(kRate, kBlock);
}

TEST_CASE("a file is loaded in the background, its controls appear at their defaults") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  CHECK(processor.status(0).kind == Kind::empty);
  load(processor, 0, kOverdrive);
  const plugin::SlotStatus status = processor.status(0);
  CHECK(status.kind == Kind::playing);
  CHECK(status.name == "Green Overdrive");
  CHECK(status.file == kOverdrive);
  CHECK(status.message.isEmpty());
  REQUIRE(processor.model(0));
  CHECK(processor.status(1).kind == Kind::empty);
  const auto& controls = processor.parameters().controls;
  CHECK(controls[0]->getName(20) == "drive");
  CHECK(controls[0]->value_in_units() == 5);
  CHECK(controls[2]->value_in_units() == Approx(-6.5));
  CHECK(controls[2]->getDefaultValue() == Approx((40 - 6.5) / 52));
  CHECK_FALSE(controls[3]->meaning());
  CHECK(wait_for([&] { return processor.library().recent() == std::vector<juce::File>{kOverdrive}; }));
}

TEST_CASE("a file that cannot be loaded gives an error, and the current model plays on") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, kOverdrive);
  load(processor, 0, juce::File("/nowhere/x.safetensors"));
  CHECK(processor.status(0).kind == Kind::playing);
  CHECK(processor.status(0).name == "Green Overdrive");
  CHECK(processor.status(0).file == kOverdrive);
  CHECK(processor.status(0).load_error == "/nowhere/x.safetensors: cannot be opened: No such file or directory");
  CHECK(processor.model(0));
  CHECK(saved(processor).slots[0].name == "Green Overdrive");
  processor.dismiss_errors();
  CHECK(processor.status(0).load_error.isEmpty());
}

TEST_CASE("a model that processes no sound is rejected with the reason") {
  const test::TempDir folder;
  test::model_file(
      R"({"model_type": "coil", "d_input": 1, "d_output": 2, "d_model": 4, "direct": false, "norm_f": false,
    "layers": [{"repeat": 1, "parts": [{"type": "mamba2", "name": "mixer", "d_state": 4, "headdim": 4}]}]})",
      5)
      .write(folder / "one_to_two.safetensors");
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, juce::File((folder / "one_to_two.safetensors").string()));
  CHECK(processor.status(0).kind == Kind::empty);
  CHECK(processor.status(0).load_error.contains("one_to_two.safetensors: the model turns 1 channels into 2"));
  load(processor, 0, juce::File(COIL_PRESETS_DIR "/watch.safetensors"));
  CHECK(processor.status(0).load_error.contains("watch.safetensors: is a forecaster"));
  CHECK_FALSE(processor.model(0));
}

TEST_CASE("a saved preset names the slot, in the host's session and through undo as well") {
  Processor processor, other;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, kOverdrive);
  const juce::File file = processor.save_preset(".My tone");
  CHECK(file == processor.preset_file("My tone"));
  CHECK(processor.status(0).name == "My tone");
  CHECK(processor.status(0).file == file);
  open(other, saved(processor));
  CHECK(other.status(0).name == "My tone");
  processor.clear(0);
  processor.undo();
  finish();
  CHECK(processor.status(0).name == "My tone");
  file.deleteFile();
}

TEST_CASE("each slot keeps its own controls, the parameters follow the active one") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  auto& drive = *processor.parameters().controls[0];
  load(processor, 0, kOverdrive);
  set(drive, 0.9f);
  processor.copy_to_other_slot();
  finish();
  processor.set_active_slot(1);
  CHECK(drive.value_in_units() == 9);
  set(drive, 0.1f);
  processor.set_active_slot(0);
  CHECK(drive.value_in_units() == 9);
  processor.set_active_slot(1);
  CHECK(drive.value_in_units() == 1);
  const plugin::Session session = saved(processor);
  CHECK(session.active_slot == 1);
  CHECK(session.slots[0].controls.at("drive") == 9);
  CHECK(session.slots[1].controls.at("drive") == 1);
}

TEST_CASE("undo and redo go through loads, knobs and slots") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  auto& drive = *processor.parameters().controls[0];
  CHECK_FALSE(processor.can_undo());
  load(processor, 0, kOverdrive);
  set(drive, 0.25f);
  set(*processor.parameters().mix, 0.5f);
  set(drive, 0.25f);  // no change
  processor.clear(0);
  CHECK(processor.status(0).kind == Kind::empty);
  processor.undo();
  finish();
  CHECK(processor.status(0).kind == Kind::playing);
  CHECK(drive.value_in_units() == 2.5f);
  processor.undo();
  finish();
  CHECK(processor.parameters().mix->get() == 100);
  processor.undo();
  finish();
  CHECK(drive.value_in_units() == 5);
  processor.undo();
  finish();
  CHECK(processor.status(0).kind == Kind::empty);
  CHECK_FALSE(processor.can_undo());
  for (int i = 0; i < 3; ++i) processor.redo();
  finish();
  CHECK(drive.value_in_units() == 2.5f);
  CHECK(processor.parameters().mix->get() == 50);
}

TEST_CASE("gestures that overlap are one step of undo, and one that moves nothing is none") {
  Processor processor;
  auto& p = processor.parameters();
  p.low_cut->beginChangeGesture();
  p.bands[0].gain->beginChangeGesture();
  p.low_cut->endChangeGesture();
  p.bands[0].gain->endChangeGesture();
  CHECK_FALSE(processor.can_undo());

  p.bands[0].frequency->beginChangeGesture();  // of a handle that is dragged
  p.bands[0].gain->beginChangeGesture();
  p.bands[0].gain->setValueNotifyingHost(0.75f);
  p.mix->beginChangeGesture();  // of a knob that the wheel turns meanwhile
  p.mix->setValueNotifyingHost(0.5f);
  p.mix->endChangeGesture();
  p.bands[0].gain->setValueNotifyingHost(1);
  p.bands[0].frequency->endChangeGesture();
  p.bands[0].gain->endChangeGesture();
  processor.undo();
  finish();
  CHECK(p.bands[0].gain->get() == 0);
  CHECK(p.mix->get() == 100);
  CHECK_FALSE(processor.can_undo());
  processor.redo();
  finish();
  CHECK(p.bands[0].gain->get() == 24);
  CHECK(p.mix->get() == 50);
}

TEST_CASE("a preset that the player saves brings back model and knobs, and leaves bypass alone") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  CHECK_THROWS_AS(processor.save_preset("empty"), Error);
  load(processor, 0, kOverdrive);
  set(*processor.parameters().controls[1], 0.3f);
  set(*processor.parameters().input_gain, 0.6f);
  const float gain = processor.parameters().input_gain->get();
  CHECK_THROWS_AS(processor.save_preset(" "), Error);
  const juce::File file = processor.save_preset("My / drive");
  CHECK(file.getParentDirectory() == processor.library().preset_folder());
  CHECK(processor.library().search("drive").back().file == file);

  Processor other;
  other.prepareToPlay(kRate, kBlock);
  set(*other.parameters().bypass, 1);
  load(other, 1, file);
  CHECK(other.status(1).kind == Kind::playing);
  CHECK(other.status(1).file == file);
  other.set_active_slot(1);
  CHECK(other.parameters().controls[1]->value_in_units() == 3);
  CHECK(other.parameters().input_gain->get() == gain);
  CHECK(other.parameters().bypass->get());
  file.deleteFile();
}

TEST_CASE("MIDI program change and the next button choose from the library") {
  const test::TempDir shelf;
  for (const char* name : {"a", "b", "c"})
    std::filesystem::copy_file(test::overdrive_path(), shelf.path() / (std::string(name) + ".safetensors"));
  setenv("COIL_PRESETS", shelf.path().c_str(), 1);
  Processor processor;
  setenv("COIL_PRESETS", COIL_PRESETS_DIR, 1);
  processor.prepareToPlay(kRate, kBlock);
  const std::vector<plugin::LibraryEntry> entries = processor.library().entries();
  REQUIRE(entries.size() == 3);
  const auto plays = [&](size_t entry) {
    return wait_for(
        [&] { return processor.status(0).kind == Kind::playing && processor.status(0).file == entries[entry].file; });
  };
  juce::MidiBuffer midi;
  for (const int program : {1, 0, 2}) {
    midi.clear();
    midi.addEvent(juce::MidiMessage::programChange(1, program), 0);
    run(processor, test::noise(2, kBlock), midi);
    CHECK(plays(size_t(program)));
  }
  processor.load_neighbour(1);
  CHECK(plays(0));
  processor.load_neighbour(-2);
  CHECK(plays(1));
  juce::File(entries[2].file).replaceWithText("no model any more");
  processor.load_neighbour(1);
  CHECK(wait_for([&] { return processor.status(0).load_error.contains("c.safetensors"); }));
  CHECK(plays(1));
  processor.load_neighbour(1);  // past it
  CHECK(plays(0));
  CHECK(processor.status(0).load_error.isEmpty());
  midi.clear();
  midi.addEvent(juce::MidiMessage::programChange(1, 127), 0);  // there are fewer
  run(processor, test::noise(2, kBlock), midi);
  test::run_messages(200);
  CHECK(processor.status(0).kind == Kind::playing);
}

TEST_CASE("every value of every parameter comes back to the bit") {
  Processor processor, other;
  const auto bits_differ = [&] {
    const plugin::Session a = saved(processor), b = saved(other);
    return a.chain != b.chain || a.slots[0].controls != b.slots[0].controls;
  };
  open(processor, test::overdrive_session());
  for (int i = 0; i <= 1000; ++i) {
    for (auto* parameter : processor.getParameters())
      parameter->setValue(float(i) / 1000.0f + (i < 1000 ? 1e-4f * float(i % 7) : 0));
    open(other, saved(processor));
    REQUIRE_FALSE(bits_differ());
  }
}

// Counts the latency changes that a host is told of.
struct LatencyChanges final : juce::AudioProcessorListener {
  void audioProcessorParameterChanged(juce::AudioProcessor*, int, float) override {}
  void audioProcessorChanged(juce::AudioProcessor*, const ChangeDetails& details) override {
    count += details.latencyChanged;
  }
  int count = 0;
};

TEST_CASE("the user chooses the rate mode: the latency follows, sessions keep it, undo restores it") {
  Processor processor, other;
  LatencyChanges heard;
  processor.addListener(&heard);
  processor.prepareToPlay(96000, kBlock);
  open(processor, test::overdrive_session());
  const int resampled = processor.getLatencySamples();
  REQUIRE(resampled > 0);
  const test::Planes in = test::noise(2, 96000);
  run(processor, in);
  heard.count = 0;
  processor.set_rate_mode(dsp::RateMode::prefer_steps);
  finish();
  CHECK(processor.getLatencySamples() == 0);
  CHECK(heard.count == 1);
  CHECK(saved(processor).rate_mode == dsp::RateMode::prefer_steps);

  other.prepareToPlay(96000, kBlock);
  open(other, saved(processor));
  CHECK(other.getLatencySamples() == 0);
  processor.prepareToPlay(96000, kBlock);
  other.prepareToPlay(96000, kBlock);
  CHECK(processor.getLatencySamples() == 0);
  const test::Planes out = run(processor, in);
  CHECK(run(other, in) == out);
  CHECK(test::largest_difference(out[0], in[0]) > 0.1);

  processor.undo();
  finish();
  CHECK(processor.rate_mode() == dsp::RateMode::model_default);
  CHECK(processor.getLatencySamples() == resampled);
  processor.set_rate_mode(dsp::RateMode::resample);
  finish();
  CHECK(processor.getLatencySamples() == resampled);
  processor.prepareToPlay(kRate, kBlock);
  CHECK(processor.getLatencySamples() == 0);
  processor.removeListener(&heard);
}

TEST_CASE("the message about a missing model returns after undo") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  plugin::Session session = test::overdrive_session({}, false);
  session.slots[0].path = "/nowhere/green.safetensors";
  session.slots[0].hash = "00000000000000000000000000000000";
  open(processor, session);
  const juce::String message = processor.status(0).message;
  REQUIRE(message.contains("/nowhere/green.safetensors"));
  processor.clear(0);
  CHECK(processor.status(0).message.isEmpty());
  processor.undo();
  finish();
  CHECK(processor.status(0).kind == Kind::missing);
  CHECK(processor.status(0).message == message);
}

TEST_CASE("instances share what they load") {
  std::vector<std::unique_ptr<Processor>> processors;
  for (int i = 0; i < 10; ++i) {
    processors.push_back(std::make_unique<Processor>());
    processors.back()->prepareToPlay(kRate, kBlock);
    open(*processors.back(), test::overdrive_session());
  }
  for (const auto& processor : processors) CHECK(processor->model(0) == processors[0]->model(0));
  CHECK(processors[0]->library().loaded_count() == 1);
  processors.erase(processors.begin(), processors.end() - 1);
  CHECK(processors[0]->library().loaded_count() == 1);
  const std::weak_ptr<const ssm::Model> model = processors[0]->model(0);
  run(*processors[0], test::noise(2, 4800));
  open(*processors[0], {});
  CHECK(wait_for([&] {
    run(*processors[0], test::noise(2, 4800));  // the previous model fades out, is given back and freed
    return processors[0]->library().loaded_count() == 0 && model.expired();
  }));
}

TEST_CASE("mono to stereo is mono on both sides, other layouts are refused") {
  Processor mono, wide;
  const auto layout = [](juce::AudioChannelSet in, juce::AudioChannelSet out) {
    return juce::AudioProcessor::BusesLayout{{in, juce::AudioChannelSet::disabled()}, {out}};
  };
  const auto one = juce::AudioChannelSet::mono(), two = juce::AudioChannelSet::stereo();
  REQUIRE(mono.setBusesLayout(layout(one, one)));
  REQUIRE(wide.setBusesLayout(layout(one, two)));
  CHECK_FALSE(wide.checkBusesLayoutSupported(layout(two, one)));
  CHECK_FALSE(wide.checkBusesLayoutSupported(layout(juce::AudioChannelSet::create5point1(), two)));
  CHECK_FALSE(wide.checkBusesLayoutSupported(layout(juce::AudioChannelSet::disabled(), two)));
  for (Processor* processor : {&mono, &wide}) {
    play_overdrive(*processor);
  }
  const test::Planes in = test::noise(1, 9600);
  const test::Planes narrow = run(mono, in), both = run(wide, {in[0], test::Signal(in[0].size(), 0.5f)});
  CHECK(test::largest_difference(both[0], narrow[0]) < 1e-6);
  CHECK(both[0] == both[1]);
  set(*wide.parameters().mix, 0);
  run(wide, test::noise(2, 4800));  // until then
  const test::Planes dry = run(wide, {in[0], test::Signal(in[0].size(), 0.5f)});
  CHECK(dry[0] == in[0]);
  CHECK(dry[1] == in[0]);
}

TEST_CASE("an unreadable session is reported, kept for the next save, and dropped once something is loaded") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  const std::string strange = "from another plugin, or another century, but certainly no session";
  processor.setStateInformation(strange.data(), int(strange.size()));
  CHECK(processor.notice().isNotEmpty());
  juce::MemoryBlock state;
  processor.getStateInformation(state);
  CHECK(state == juce::MemoryBlock(strange.data(), strange.size()));
  load(processor, 0, kOverdrive);
  CHECK(processor.notice().isEmpty());
  CHECK(saved(processor).slots[0].name == "Green Overdrive");
}

TEST_CASE("the sound after a bypass is what it would have been without it") {
  Processor bypassed, plain;
  const test::Planes in = test::noise(2, 48000);
  for (Processor* processor : {&bypassed, &plain}) {
    play_overdrive(*processor);
    run(*processor, in);
  }
  set(*bypassed.parameters().bypass, 1);
  run(bypassed, in);
  set(*bypassed.parameters().bypass, 0);
  run(plain, in);
  run(bypassed, test::noise(2, 4800));  // long enough for the return fade
  run(plain, test::noise(2, 4800));
  CHECK(run(bypassed, in) == run(plain, in));
}

TEST_CASE("a reset restarts the model, as at a jump in the song") {
  Processor processor;
  play_overdrive(processor);
  const test::Planes in = test::noise(2, 9600);
  const test::Planes first = run(processor, in);
  CHECK(run(processor, in) != first);  // it remembers
  processor.reset();
  CHECK(run(processor, in) == first);
}

TEST_CASE("every parameter of the chain has the effect of the rack's setting, in its unit") {
  using Settings = dsp::RackSettings;
  struct Case {
    const char* id;
    float value;
    std::function<void(Settings&)> same;
  };
  const float full_scale_dbu = Processor().parameters().input_dbu->get();
  const std::vector<Case> cases{
      {"input_gain", -7.5f, [](Settings& s) { s.input_db = -7.5f; }},
      {"output_gain", 3.25f, [](Settings& s) { s.output_db = 3.25f; }},
      {"mix", 37.5f, [](Settings& s) { s.mix = 0.375f; }},
      {"gate_threshold", -3, [](Settings& s) { s.gate_db = -3; }},
      {"normalise", 0, [](Settings& s) { s.normalise = false; }},
      {"channels", 1, [](Settings& s) { s.channels = dsp::ChannelMode::left; }},
      {"channels", 2, [](Settings& s) { s.channels = dsp::ChannelMode::right; }},
      {"channels", 3, [](Settings& s) { s.channels = dsp::ChannelMode::sum; }},
      {"bypass", 1, [](Settings& s) { s.bypass = true; }},
      {"calibrated", 1,
       [&](Settings& s) {
         s.calibrated = true;
         s.input_dbu = full_scale_dbu;
       }},
  };
  const auto model = ssm::Model::load(test::overdrive_path());
  test::Planes in = test::noise(2, 9600);
  for (auto& plane : in)
    for (size_t i = 4800; i < plane.size(); ++i) plane[i] *= 0.01f;  // for the gate
  const std::vector<size_t> blocks(in[0].size() / kBlock, kBlock);
  const auto played = [&](const char* id, float value) {
    Processor processor;
    open(processor, test::overdrive_session({{"level", -14}}));
    processor.parameters().set_chain({{"normalise", 1.0f}});
    processor.parameters().set_chain({{id, value}});
    processor.prepareToPlay(kRate, kBlock);
    return run(processor, in);
  };
  const test::Planes usual = played("mix", 100);
  for (const Case& each : cases) {
    dsp::Rack rack;
    each.same(rack.settings());
    rack.load(0, model, std::vector<float>{5, 5, -14});  // represented exactly by a parameter from 0 to 1
    rack.prepare({kRate, kBlock, 2});
    INFO(each.id << " " << each.value);
    const test::Planes out = played(each.id, each.value);
    CHECK(out == test::run_all(rack, in, blocks));
    CHECK(out != usual);
  }
}

TEST_CASE("the tuner mutes if the user wants that, and no session, preset or undo step opens it") {
  Processor processor;
  play_overdrive(processor);
  const test::Planes in = test::noise(2, 9600);
  set(*processor.parameters().tuner, 1);
  CHECK_FALSE(processor.can_undo());
  run(processor, in);
  CHECK(run(processor, in)[0] == test::Signal(9600));
  processor.set_tuner_mutes(false);
  run(processor, in);
  CHECK(run(processor, in)[0] != test::Signal(9600));
  CHECK_FALSE(saved(processor).chain.contains("tuner"));
  Processor other;
  CHECK_FALSE(other.tuner_mutes());
  processor.set_tuner_mutes(true);
  open(other, saved(processor));
  CHECK_FALSE(other.parameters().tuner->get());
}

TEST_CASE("the interface's full scale is set once for all new instances, measured with a known tone") {
  Processor processor;
  CHECK(processor.parameters().input_dbu->get() == Approx(plugin::kUsualFullScaleDbu));
  play_overdrive(processor);
  const plugin::SoundTap::Listening listening(processor.tap());
  CHECK_FALSE(processor.input_tone_dbfs());
  const test::Signal tone = test::sine(1000, kRate, 28800, 0.1f);  // -20 dBFS
  run(processor, {tone, tone});
  REQUIRE(processor.input_tone_dbfs());
  CHECK(*processor.input_tone_dbfs() == Approx(-20).margin(0.01));
  processor.set_input_dbu(-4 - *processor.input_tone_dbfs());
  CHECK(processor.parameters().input_dbu->get() == Approx(16));
  Processor other;
  CHECK(other.parameters().input_dbu->get() == Approx(16));

  // A session keeps its own; a preset keeps the user's, and brings only the switch.
  plugin::Session session = test::overdrive_session();
  session.chain["calibrated"] = 1;
  session.chain["input_dbu"] = 7;
  open(other, session);
  CHECK(other.parameters().input_dbu->get() == Approx(7));
  const juce::File preset = other.save_preset("Calibrated");
  load(processor, 0, preset);
  CHECK(processor.parameters().calibrated->get());
  CHECK(processor.parameters().input_dbu->get() == Approx(16));
  preset.deleteFile();
  processor.set_input_dbu(plugin::kUsualFullScaleDbu);
}

TEST_CASE("a block larger than announced is processed like small ones") {
  Processor small, large;
  const test::Planes in = test::noise(2, 5000);
  for (Processor* processor : {&small, &large}) {
    play_overdrive(*processor);
  }
  juce::AudioBuffer<float> audio(2, 5000);
  for (int c = 0; c < 2; ++c) audio.copyFrom(c, 0, in[size_t(c)].data(), 5000);
  juce::MidiBuffer midi;
  large.processBlock(audio, midi);
  const test::Planes expected = run(small, in);
  for (int c = 0; c < 2; ++c)
    CHECK(test::largest_difference({audio.getReadPointer(c), 5000}, expected[size_t(c)]) < 1e-5);
}

TEST_CASE("the tap holds what went in and came out, the load is measured") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  const test::Planes in = test::noise(2, 4800);
  run(processor, in);
  CHECK(processor.tap().frames_written(plugin::SoundTap::Side::input) == 0);  // nobody listens
  const plugin::SoundTap::Listening listening(processor.tap());
  run(processor, in);
  std::vector<float> tapped(1000), expected(1000);
  for (size_t i = 0; i < 1000; ++i) expected[i] = (in[0][3800 + i] + in[1][3800 + i]) * 0.5f;
  processor.tap().read_latest(plugin::SoundTap::Side::input, tapped);
  CHECK(tapped == expected);
  processor.tap().read_latest(plugin::SoundTap::Side::output, tapped);
  CHECK(test::largest_difference(tapped, expected) < 1e-6);
  CHECK(processor.tap().frames_written(plugin::SoundTap::Side::input) == 4800);
  CHECK(processor.load().worst > 0);
  CHECK(processor.load().median > 0);
  processor.reset_load();
  CHECK(processor.load().worst == 0);
}

}  // namespace
