// MIDI: taught controllers and notes move parameters and recall snapshots, and are kept in the session.
#include <catch2/catch.hpp>

#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::MidiPrograms, plugin::MidiSource, plugin::Processor;
using test::kBlock, test::load, test::open, test::run, test::saved, test::wait_for;

constexpr double kRate = 48000;

juce::MidiBuffer controller(int number, int value, int channel = 1) {
  juce::MidiBuffer midi;
  midi.addEvent(juce::MidiMessage::controllerEvent(channel, number, value), 0);
  return midi;
}

juce::MidiBuffer note(int number) {
  juce::MidiBuffer midi;
  midi.addEvent(juce::MidiMessage::noteOn(1, number, juce::uint8(100)), 0);
  return midi;
}

void play(Processor& processor, const juce::MidiBuffer& midi) { run(processor, test::noise(2, kBlock), midi); }

void teach(Processor& processor, const std::string& target, const juce::MidiBuffer& midi) {
  processor.learn_midi(target);
  CHECK(processor.midi_learns() == target);
  play(processor, midi);
  REQUIRE(wait_for([&] { return processor.midi_learns().empty() && processor.midi_setup().source_of(target); }));
}

struct Playing {
  Playing() {
    processor.prepareToPlay(kRate, kBlock);
    load(processor, 0, juce::File(test::overdrive_path().string()));
  }
  Processor processor;
};

TEST_CASE("a taught controller moves its parameter on any channel, and host and window hear of it") {
  Playing playing;
  Processor& processor = playing.processor;
  auto& drive = *processor.parameters().controls[0];
  teach(processor, "control_1", controller(74, 3));
  CHECK(processor.midi_setup().source_of("control_1") == MidiSource{MidiSource::Kind::controller, 74});
  struct Listener : juce::AudioProcessorParameter::Listener {
    void parameterValueChanged(int, float to) override { value = to; }
    void parameterGestureChanged(int, bool) override {}
    std::atomic<float> value{-1};
  } listener;
  drive.addListener(&listener);
  play(processor, controller(74, 127, 9));
  CHECK(drive.getValue() == 1);
  CHECK(wait_for([&] { return listener.value == 1; }));
  drive.removeListener(&listener);
  play(processor, controller(75, 0));  // another controller
  CHECK(drive.getValue() == 1);
  play(processor, controller(74, 0));
  CHECK(drive.getValue() == 0);
  processor.forget_midi("control_1");
  play(processor, controller(74, 127));
  CHECK(drive.getValue() == 0);
}

TEST_CASE("one source has one target, and one target one source, and each change is an undo step") {
  Playing playing;
  Processor& processor = playing.processor;
  teach(processor, "mix", controller(20, 1));
  teach(processor, "control_1", controller(20, 1));
  CHECK_FALSE(processor.midi_setup().source_of("mix"));
  teach(processor, "control_1", controller(21, 1));
  CHECK(processor.midi_setup().links.size() == 1);
  processor.undo();
  REQUIRE(wait_for([&] { return processor.midi_setup().source_of("control_1")->number == 20; }));
  play(processor, controller(21, 127));
  CHECK(processor.parameters().controls[0]->getValue() != 1);
  play(processor, controller(20, 127));
  CHECK(processor.parameters().controls[0]->getValue() == 1);
}

TEST_CASE("a controller's halves set a switch, a note toggles it, and a knob does not learn a note") {
  Playing playing;
  Processor& processor = playing.processor;
  auto& cabinet = *processor.parameters().cabinet_on;
  teach(processor, "cabinet", controller(64, 127));
  play(processor, controller(64, 63));
  CHECK_FALSE(cabinet.get());
  play(processor, controller(64, 64));
  CHECK(cabinet.get());
  teach(processor, "cabinet", note(60));
  play(processor, note(60));
  CHECK_FALSE(cabinet.get());
  play(processor, note(60));
  CHECK(cabinet.get());
  processor.learn_midi("mix");
  play(processor, note(61));
  test::run_messages(150);
  CHECK(processor.midi_learns() == "mix");
  processor.stop_learning_midi();
  play(processor, controller(30, 5));
  test::run_messages(150);
  CHECK_FALSE(processor.midi_setup().source_of("mix"));
}

TEST_CASE("notes and controllers recall snapshots, and so do program changes if the user says so") {
  Playing playing;
  Processor& processor = playing.processor;
  juce::AudioProcessorParameter& gain = *processor.parameters().input_gain;
  gain.setValueNotifyingHost(0.25f);
  processor.store_snapshot(1);
  gain.setValueNotifyingHost(0.75f);
  processor.store_snapshot(2);
  teach(processor, "snapshot_a", note(36));
  teach(processor, "snapshot_b", controller(80, 127));
  play(processor, note(36));
  CHECK(gain.getValue() == 0.25f);
  play(processor, controller(80, 127));
  CHECK(gain.getValue() == 0.75f);
  play(processor, note(36));
  play(processor, controller(80, 0));  // its release
  CHECK(gain.getValue() == 0.25f);

  processor.set_midi_programs(MidiPrograms::snapshots);
  juce::MidiBuffer program;
  program.addEvent(juce::MidiMessage::programChange(1, 1), 0);
  play(processor, program);
  CHECK(gain.getValue() == 0.75f);
  test::run_messages(150);
  CHECK(processor.snapshots().recalled == 2);
  CHECK(processor.status(0).name == "Green Overdrive");  // no entry of the library
}

TEST_CASE("program changes choose among the presets alone if the user says so") {
  Playing playing;
  Processor& processor = playing.processor;
  const juce::File first = processor.save_preset("A first"), second = processor.save_preset("B second");
  processor.set_midi_programs(MidiPrograms::presets);
  juce::MidiBuffer program;
  program.addEvent(juce::MidiMessage::programChange(1, 1), 0);
  play(processor, program);
  CHECK(wait_for([&] { return processor.status(0).name == "B second"; }));
  first.deleteFile();
  second.deleteFile();
  processor.library().rescan();
}

TEST_CASE("a session keeps what was taught, and an older session still opens") {
  Playing playing;
  teach(playing.processor, "control_2", controller(11, 64));
  teach(playing.processor, "snapshot_c", note(40));
  playing.processor.set_midi_programs(MidiPrograms::snapshots);
  const plugin::Session session = saved(playing.processor);
  Processor other;
  other.prepareToPlay(kRate, kBlock);
  open(other, session);
  CHECK(other.midi_setup() == playing.processor.midi_setup());
  play(other, controller(11, 127));
  CHECK(other.parameters().controls[1]->getValue() == 1);
  open(other, test::overdrive_session());
  CHECK(other.midi_setup().links.empty());
}

}  // namespace
