// Snapshots: stored, recalled without a gap or click, automated, and kept in sessions and presets.
#include <catch2/catch.hpp>
#include <cmath>

#include "dsp/rig.h"
#include "plugin/preset.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"

namespace {

using namespace coil;
using plugin::Processor;
using test::finish, test::kBlock, test::load, test::open, test::run, test::saved, test::set, test::wait_for;

constexpr double kRate = 48000, kPi = 3.14159265358979;

juce::File overdrive() { return juce::File(test::overdrive_path().string()); }

// Two sounds that differ in every kind of setting.
void make_sound(Processor& processor, bool second) {
  auto& p = processor.parameters();
  const auto put = [](juce::RangedAudioParameter& parameter, float value) {
    set(parameter, parameter.convertTo0to1(value));
  };
  put(*p.input_gain, second ? 6 : -6);
  put(*p.output_gain, second ? -6.0f : 0.0f);
  put(*p.mix, second ? 100 : 60);
  put(*p.normalise, second);
  put(*p.equaliser_on, 1);
  put(*p.cabinet_on, second);
  put(*p.bands[1].gain, second ? 12 : -12);
  put(*p.bands[1].frequency, second ? 300 : 1200);
  put(*p.low_cut, second ? 20 : 60);
  set(*p.controls[0], second ? 0.9f : 0.1f);
  set(*p.controls[1], second ? 0.2f : 0.8f);
}

std::map<std::string, float> sound_of(Processor& processor) {
  plugin::Session session = saved(processor);
  std::map<std::string, float> values = session.chain;
  for (const auto& [name, value] : session.slots[size_t(session.active_slot)].controls)
    values["control " + name] = value;
  return values;
}

test::Planes tone(double hz, size_t frames, float peak = 0.25f) {
  test::Planes planes(2, test::Signal(frames));
  for (auto& plane : planes)
    for (size_t i = 0; i < frames; ++i) plane[i] = peak * float(std::sin(2 * kPi * hz * double(i) / kRate));
  return planes;
}

// The peak of what a low tone cannot contain: the signal after a steep high-pass filter, a cascade of first
// differences. A jump gives its own height.
double click_of(const test::Signal& signal) {
  constexpr int kOrder = 8;
  std::vector<double> rest(signal.begin(), signal.end());
  for (int n = 0; n < kOrder; ++n)
    for (size_t i = rest.size() - 1; i > 0; --i) rest[i] = (rest[i] - rest[i - 1]) / 2;
  double most = 0;
  for (size_t i = size_t(kOrder); i < rest.size(); ++i) most = std::max(most, std::abs(rest[i]));
  constexpr double kOfJump = 35.0 / 256;  // of order 8
  return most / kOfJump;
}

double peak_of(const test::Signal& signal) {
  double most = 0;
  for (const float value : signal) most = std::max(most, std::abs(double(value)));
  return most;
}

void automate(Processor& processor, int number) {  // as a host does, without telling the window
  juce::RangedAudioParameter& parameter = *processor.parameters().snapshot;
  parameter.setValue(parameter.convertTo0to1(float(number)));
}

TEST_CASE("snapshots bring back every setting of a sound, but neither bypass nor the interface") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, overdrive());
  make_sound(processor, false);
  const auto first = sound_of(processor);
  processor.store_snapshot(1);
  make_sound(processor, true);
  const auto second = sound_of(processor);
  processor.store_snapshot(2);
  CHECK(first != second);
  CHECK(processor.snapshots().filled == std::array<bool, 4>{true, true, false, false});
  CHECK(processor.snapshots().recalled == 2);
  processor.recall_snapshot(1);
  CHECK(sound_of(processor) == first);
  CHECK_FALSE(processor.snapshots().edited);
  set(*processor.parameters().bypass, 1);
  processor.set_input_dbu(3);
  CHECK_FALSE(processor.snapshots().edited);
  set(*processor.parameters().mix, 0.3f);
  CHECK(processor.snapshots().edited);
  processor.recall_snapshot(1);  // undoes the changes
  CHECK(sound_of(processor).at("mix") == first.at("mix"));
  processor.recall_snapshot(2);
  CHECK(processor.parameters().bypass->get());
  CHECK(processor.parameters().input_dbu->get() == 3);
  processor.recall_snapshot(3);  // empty
  CHECK(processor.snapshots().recalled == 2);
  processor.clear_snapshot(2);
  CHECK(processor.snapshots().filled[1] == false);
  CHECK(processor.snapshots().recalled == 0);
}

TEST_CASE("storing, clearing and recalling can be undone") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, overdrive());
  make_sound(processor, false);
  processor.store_snapshot(1);
  make_sound(processor, true);
  const auto before = sound_of(processor);
  processor.recall_snapshot(1);
  CHECK(sound_of(processor) != before);
  processor.undo();
  finish();
  CHECK(sound_of(processor) == before);
  processor.clear_snapshot(1);
  processor.undo();
  finish();
  CHECK(processor.snapshots().filled[0]);
  CHECK(sound_of(processor) == before);
}

TEST_CASE("a host's automation recalls a snapshot in the block in which it arrives, and an empty one changes nothing") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, overdrive());
  make_sound(processor, false);
  processor.store_snapshot(1);
  const auto first = sound_of(processor);
  make_sound(processor, true);
  processor.store_snapshot(2);
  automate(processor, 1);
  run(processor, test::noise(2, kBlock));
  CHECK(processor.parameters().input_gain->get() == first.at("input_gain"));  // saving would recall it as well
  CHECK(sound_of(processor) == first);
  CHECK(wait_for([&] { return processor.snapshots().recalled == 1; }));
  automate(processor, 4);
  run(processor, test::noise(2, kBlock));
  CHECK(sound_of(processor) == first);
  set(*processor.parameters().mix, 0.1f);
  automate(processor, 0);
  run(processor, test::noise(2, kBlock));
  CHECK(sound_of(processor).at("mix") == Approx(10));
}

TEST_CASE("snapshots switch without a click above -60 dB, and without a gap") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, overdrive());
  load(processor, 1, overdrive());
  processor.load_response(0, *processor.library().find_cabinet("british_4x12_edge"));
  finish();
  const bool other_slot = GENERATE(false, true);
  make_sound(processor, false);
  processor.store_snapshot(1);
  if (other_slot) processor.set_active_slot(1);
  make_sound(processor, true);
  processor.store_snapshot(2);
  test::Signal jump(2000, 0.25f);
  std::fill(jump.begin(), jump.begin() + 1000, 0.0f);
  CHECK(click_of(jump) == Approx(0.25));
  constexpr size_t kFrames = 12032;
  constexpr double kHz = 110;
  // The click of a steady sound is that of its own harmonics.
  double steady = 0, loudest = 0, softest = 1e9;
  for (const int number : {1, 2}) {
    automate(processor, number);
    run(processor, tone(kHz, kFrames));
    test::run_messages(150);
    const test::Planes out = run(processor, tone(kHz, kFrames));
    steady = std::max(steady, click_of(out[0]));
    loudest = std::max(loudest, peak_of(out[0]));
    softest = std::min(softest, peak_of(out[0]));
  }
  for (int i = 0; i < 6; ++i) {
    automate(processor, 1 + i % 2);
    const test::Planes out = run(processor, tone(kHz, kFrames));
    INFO("switch " << i << ": " << click_of(out[0]) << " beside " << steady << " of " << loudest);
    CHECK(click_of(out[0]) < steady + 1e-3 * loudest);            // -60 dB
    for (size_t begin = 0; begin + 960 <= kFrames; begin += 480)  // more than a period
      CHECK(peak_of(test::Signal(out[0].begin() + long(begin), out[0].begin() + long(begin) + 960)) > 0.7 * softest);
    test::run_messages(60);
  }
}

TEST_CASE("a snapshot of the other slot switches slots, and leaves each slot's own settings alone") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, overdrive());
  load(processor, 1, overdrive());
  set(*processor.parameters().controls[0], 0.2f);
  processor.store_snapshot(1);
  processor.set_active_slot(1);
  set(*processor.parameters().controls[0], 0.8f);
  processor.store_snapshot(2);
  set(*processor.parameters().controls[0], 0.5f);
  automate(processor, 1);
  run(processor, test::noise(2, kBlock));
  REQUIRE(wait_for([&] { return processor.active_slot() == 0; }));
  CHECK(processor.parameters().controls[0]->getValue() == Approx(0.2f));
  CHECK(saved(processor).slots[1].controls.at("drive") == Approx(5));
  automate(processor, 2);
  run(processor, test::noise(2, kBlock));
  automate(processor, 1);  // before anything else has followed
  run(processor, test::noise(2, kBlock));
  test::run_messages(150);
  CHECK(processor.active_slot() == 0);
  CHECK(processor.parameters().controls[0]->getValue() == Approx(0.2f));
}

TEST_CASE("sessions and presets keep snapshots, and older ones still open") {
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, overdrive());
  processor.load_response(0, *processor.library().find_cabinet("british_4x12_edge"));
  finish();
  make_sound(processor, false);
  processor.store_snapshot(1);
  make_sound(processor, true);
  processor.set_microphone(0, {-3, 0.5f, 1, true});
  processor.store_snapshot(3);
  processor.recall_snapshot(1);
  const plugin::Session session = saved(processor);
  const juce::File preset = processor.save_preset("With snapshots");

  const bool from_session = GENERATE(true, false);
  Processor other;
  other.prepareToPlay(kRate, kBlock);
  if (from_session) {
    open(other, session);
    CHECK(saved(other).snapshots == session.snapshots);
    CHECK(other.snapshots().recalled == 1);
  } else {
    load(other, 0, preset);
    finish();
    CHECK(other.status(0).load_error.isEmpty());
  }
  CHECK(other.snapshots().filled == std::array<bool, 4>{true, false, true, false});
  other.recall_snapshot(3);
  finish();
  make_sound(processor, true);
  auto expected = sound_of(processor), found = sound_of(other);
  for (const char* each : {"input_dbu", "bypass"}) expected.erase(each), found.erase(each);
  CHECK(found == expected);
  CHECK(other.microphone(0).settings == plugin::MicrophoneSettings{-3, 0.5f, 1, true});

  open(other, test::overdrive_session());
  CHECK(saved(other).snapshots.empty());
  CHECK(other.snapshots().recalled == 0);
  preset.deleteFile();
  processor.library().rescan();
}

}  // namespace
