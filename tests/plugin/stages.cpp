// The plugin's list of stages: from rigs and back, in sessions, by parameters, and by the window's calls.
#include "plugin/stages.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "dsp/rig.h"
#include "plugin/preset.h"
#include "plugin/stage_values.h"
#include "tests/plugin/offline_rig.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::Processor;
using Kind = plugin::StageStatus::Kind;
using test::difference_db, test::finish, test::kBlock, test::load, test::open, test::run, test::saved;

constexpr double kRate = 48000;

// A rig with every kind of stage, several models in series, and embedded files.
dsp::Rig long_rig(const std::string& fields = "") {
  dsp::Rig rig =
      dsp::read_rig(R"({"rig": 1, "name": "Long", "input_db": 2, "output_db": -3, )" + fields + R"("stages": [
      {"type": "gate", "threshold_db": -55},
      {"type": "model", "name": "boost", "file": "boost", "controls": {"drive": 2}, "mix": 0.8},
      {"type": "equaliser", "bands": [{"kind": "bell", "hz": 300, "gain_db": -4, "q": 1}]},
      {"type": "model", "name": "amplifier", "file": "amplifier", "controls": {"drive": 6}, "normalise": true},
      {"type": "equaliser", "low_cut_hz": 90, "bands": [{"gain_db": 3}], "mix": 0.7},
      {"type": "gain", "db": -2, "bypassed": true},
      {"type": "cabinet", "mix": 0.9, "microphones": [{"file": "cone.wav", "level_db": -3, "checksum": "11"}]},
      {"type": "model", "name": "compressor", "file": "compressor", "controls": {"drive": 1}, "channels": "sum"},
      {"type": "doubler", "delay_ms": 11, "mix": 0.5},
      {"type": "cabinet", "name": "room", "normalise": false, "bypassed": true,
       "microphones": [{"file": "room.wav", "checksum": "11", "pan": 0.4}]}]})",
                    "long.coil");
  const auto overdrive = test::overdrive_session().slots[0];
  for (dsp::RigStage& stage : rig.stages)
    if (auto* model = std::get_if<dsp::RigModel>(&stage.kind)) model->hash = overdrive.hash;
  rig.models[overdrive.hash] = overdrive.file_bytes;
  dsp::ImpulseResponse response{{test::noise(1, 2000)[0]}, 44100};
  for (size_t i = 0; i < 2000; ++i) response.channels[0][i] *= std::exp(-float(i) / 300);
  rig.responses["11"] = std::make_shared<const dsp::ImpulseResponse>(std::move(response));
  return rig;
}

void set_state(Processor& processor, const std::string& text) {
  processor.setStateInformation(text.data(), int(text.size()));
  CHECK(processor.notice().isEmpty());
}

std::vector<int> numbers(const Processor& processor) {
  std::vector<int> all;
  for (const plugin::StageStatus& stage : processor.stages()) all.push_back(stage.number);
  return all;
}

// From the start, so that the sound does not depend on what played before.
test::Planes play(Processor& processor, const test::Planes& in, double rate_hz = kRate) {
  processor.prepareToPlay(rate_hz, kBlock);
  const auto latency = size_t(processor.getLatencySamples());
  test::Planes longer = in;
  for (test::Signal& plane : longer) plane.resize(plane.size() + latency);
  test::Planes out = run(processor, std::move(longer));
  for (test::Signal& plane : out) plane.erase(plane.begin(), plane.begin() + std::ptrdiff_t(latency));
  return out;
}

TEST_CASE("a rig of many stages plays in the plugin as offline, to -120 dB, and survives session and preset") {
  const std::string fields = GENERATE("", R"("mix": 0.6, )", R"("input_dbu": 9, )");
  const double rate_hz = GENERATE(48000.0, 44100.0);
  const dsp::Rig rig = long_rig(fields);
  const test::Planes in = test::noise(2, 16000);
  const test::Planes offline = test::play_embedded(rig, in, rate_hz);
  Processor processor;
  processor.prepareToPlay(rate_hz, kBlock);
  set_state(processor, dsp::write_rig(rig));
  INFO(fields << ", " << rate_hz << " Hz");
  CHECK(numbers(processor) ==
        std::vector{0, 1, 2, dsp::kModelsStage, dsp::kEqualiserStage, 3, dsp::kTailStage, 4, 5, 6});
  CHECK(processor.stages()[1].name == "boost");
  CHECK((processor.getLatencySamples() > 0) == (rate_hz != kRate));
  CHECK(difference_db(play(processor, in, rate_hz), offline) < -120);

  Processor reopened;
  reopened.prepareToPlay(rate_hz, kBlock);
  open(reopened, saved(processor));
  CHECK(numbers(reopened) == numbers(processor));
  CHECK(difference_db(play(reopened, in, rate_hz), offline) < -120);

  const juce::File file = reopened.save_preset("Long");
  const dsp::Rig written = dsp::read_rig(file.loadFileAsString().toStdString(), "Long");
  CHECK(written.warnings.empty());
  CHECK(difference_db(test::play_embedded(written, in, rate_hz), offline) < -120);
  set_state(processor, file.loadFileAsString().toStdString());
  CHECK(difference_db(play(processor, in, rate_hz), offline) < -120);
  file.deleteFile();
}

TEST_CASE("power and mix of every stage are parameters") {
  dsp::Rig rig = long_rig();
  const test::Planes in = test::noise(2, 8000);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  set_state(processor, dsp::write_rig(rig));
  const plugin::Parameters& p = processor.parameters();
  CHECK(p.further[1].mix->get() == Approx(80));
  CHECK_FALSE(p.further[3].on->get());
  *p.further[1].mix = 30;
  *p.further[3].on = true;
  *p.further[4].on = false;
  *p.model_mix = 60;
  *p.cabinet_mix = 50;
  *p.equaliser_on = false;
  rig.stages[1].mix = 0.3f;
  rig.stages[5].bypassed = false;
  rig.stages[7].bypassed = true;
  rig.stages[3].mix = 0.6f;
  rig.stages[6].mix = 0.5f;
  rig.stages[4].bypassed = true;
  CHECK(difference_db(play(processor, in), test::play_embedded(rig, in, kRate)) < -120);
  *p.model_on = false;
  rig.stages[3].bypassed = true;
  CHECK(difference_db(play(processor, in), test::play_embedded(rig, in, kRate)) < -120);
}

TEST_CASE("the window adds, moves and removes stages, each as one undo step") {
  Processor processor;
  processor.prepareToPlay(44100, kBlock);
  open(processor, test::overdrive_session());
  const int latency = processor.getLatencySamples();
  const std::vector usual{dsp::kModelsStage, dsp::kTailStage, dsp::kEqualiserStage};
  CHECK(numbers(processor) == usual);
  const auto done = [&] { finish(), test::run_messages(10); };

  processor.add_stage(juce::File(test::overdrive_path().string()), 0);
  done();
  CHECK(numbers(processor) == std::vector{0, dsp::kModelsStage, dsp::kTailStage, dsp::kEqualiserStage});
  CHECK(processor.stages()[0].kind == Kind::model);
  CHECK(processor.stages()[0].name == "Green Overdrive");
  CHECK(processor.getLatencySamples() == 2 * latency);
  processor.add_stage(dsp::RigStage{"loud", 1, false, dsp::RigGain{20}}, 4);
  done();
  processor.move_stage(0, 2);
  done();
  CHECK(numbers(processor) == std::vector{dsp::kModelsStage, dsp::kTailStage, 0, dsp::kEqualiserStage, 1});
  CHECK(processor.getLatencySamples() == 2 * latency);
  processor.move_stage(dsp::kEqualiserStage, 0);
  done();
  processor.remove_stage(0);
  processor.remove_stage(dsp::kModelsStage);  // which stays
  done();
  CHECK(numbers(processor) == std::vector{dsp::kEqualiserStage, dsp::kModelsStage, dsp::kTailStage, 1});
  CHECK(processor.getLatencySamples() == latency);
  for (int i = 0; i < 6; ++i) processor.undo();
  done();
  CHECK(numbers(processor) == usual);
  CHECK(processor.getLatencySamples() == latency);
  for (int i = 0; i < 3; ++i) processor.redo();
  done();
  CHECK(numbers(processor) == std::vector{dsp::kModelsStage, dsp::kTailStage, 0, dsp::kEqualiserStage, 1});

  for (int i = 0; i < 6; ++i) processor.add_stage(dsp::RigStage{"gate", 1, false, dsp::RigGate{}}, 0);
  done();
  CHECK(processor.stages().size() == 11);
  CHECK(processor.status(0).load_error.isEmpty());
  processor.add_stage(dsp::RigStage{"gate", 1, false, dsp::RigGate{}}, 0);
  done();
  CHECK(processor.stages().size() == 11);
  CHECK(processor.status(0).load_error.contains("room for 8 stages"));
}

TEST_CASE("each value of a further stage can be set, is heard as offline, and undone as one step") {
  dsp::Rig rig = long_rig();
  const test::Planes in = test::noise(2, 8000);
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  set_state(processor, dsp::write_rig(rig));
  const auto before = play(processor, in);
  const auto set = [&](int number, const std::string& name, double to, bool is_step) {
    const auto stage = processor.further_stage_at(number);
    REQUIRE(stage);
    for (const plugin::StageValue& value : plugin::values_of(*stage)) {
      if (value.name != name) continue;
      CHECK(value.min <= to);
      CHECK(to <= value.max);
      dsp::RigStage settings = stage->rig;
      value.set(settings, to);
      return processor.edit_stage(number, settings, is_step);
    }
    FAIL(name << " is no value of stage " << number);
  };
  const auto value = [&](int number, const std::string& name) {
    for (const plugin::StageValue& each : plugin::values_of(*processor.further_stage_at(number)))
      if (each.name == name) return each.value;
    FAIL(name << " is no value of stage " << number);
    return 0.0;
  };
  CHECK(value(0, "Threshold") == Approx(-55));
  CHECK(value(1, "drive") == Approx(2));
  set(0, "Threshold", -40, true);
  set(1, "drive", 5, true);
  set(1, "drive", 7, false);
  set(2, "Gain 1", 4, true);
  set(2, "Low cut", 120, true);
  set(3, "Gain", 3, true);
  set(5, "Drift", 5, true);
  set(5, "Delay", 3, true);
  CHECK(value(5, "Drift") == Approx(2));  // the second voice never comes before the first
  set(6, "Pan", -0.5, true);
  set(6, "Normalise", 1, true);
  finish();
  *processor.parameters().further[3].on = true;
  *processor.parameters().further[6].on = true;
  std::get<dsp::RigGate>(rig.stages[0].kind).threshold_db = -40;
  std::get<dsp::RigModel>(rig.stages[1].kind).controls["drive"] = 7;
  auto& equaliser = std::get<dsp::EqualiserSettings>(rig.stages[2].kind);
  equaliser.bands[0].gain_db = 4;
  equaliser.low_cut_hz = 120;
  std::get<dsp::RigGain>(rig.stages[5].kind).db = 3;
  std::get<dsp::DoublerSettings>(rig.stages[8].kind).delay_ms = 3;
  std::get<dsp::DoublerSettings>(rig.stages[8].kind).drift_ms = 2;
  std::get<dsp::RigCabinet>(rig.stages[9].kind).microphones[0].pan = -0.5f;
  std::get<dsp::RigCabinet>(rig.stages[9].kind).normalise = true;
  rig.stages[5].bypassed = rig.stages[9].bypassed = false;
  CHECK(difference_db(play(processor, in), test::play_embedded(rig, in, kRate)) < -120);

  Processor reopened;
  reopened.prepareToPlay(kRate, kBlock);
  open(reopened, saved(processor));
  CHECK(difference_db(play(reopened, in), test::play_embedded(rig, in, kRate)) < -120);

  *processor.parameters().further[3].on = false;
  *processor.parameters().further[6].on = false;
  for (int i = 0; i < 9; ++i) processor.undo();
  finish();
  CHECK(value(1, "drive") == Approx(2));
  CHECK(difference_db(play(processor, in), before) < -120);
  CHECK_FALSE(processor.further_stage_at(dsp::kModelsStage));
}

TEST_CASE("a further stage whose file is missing passes the sound and says so, and an unusable file is not added") {
  const test::TempDir dir;
  std::ofstream(dir / "gone.coil") << R"({"rig": 1, "stages": [{"type": "model", "file": "nowhere"},
      {"type": "model", "file": ")" << test::overdrive_path().string()
                                   << R"("}, {"type": "cabinet", "microphones": [{"file": "nowhere.wav"}]},
      {"type": "cabinet", "normalise": false, "microphones": [{"file": "nowhere.wav"}]}]})";
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, juce::File((dir / "gone.coil").string()));
  finish();
  CHECK(processor.status(0).kind == plugin::SlotStatus::Kind::playing);
  REQUIRE(processor.stages().size() == 5);
  CHECK(processor.stages()[0].message.contains("'model' is missing"));
  CHECK(processor.stages()[3].message.contains("nowhere"));
  CHECK(test::wait_for([&] { return processor.status(0).load_error.contains("is missing"); }));
  Processor without;
  without.prepareToPlay(kRate, kBlock);
  open(without, test::overdrive_session());
  const test::Planes in = test::noise(2, 8000);
  CHECK(difference_db(play(processor, in), play(without, in)) < -120);

  std::ofstream(dir / "broken.safetensors") << "no model";
  processor.add_stage(juce::File((dir / "broken.safetensors").string()), 0);
  finish();
  CHECK(processor.stages().size() == 5);
  CHECK(processor.status(0).load_error.isNotEmpty());
}

TEST_CASE("a session whose list of stages makes no sense is refused") {
  plugin::Session session = test::overdrive_session();
  session.stages = {{dsp::kModelsStage, {}}};
  const auto bytes = plugin::to_bytes(session);
  CHECK_THROWS_WITH(plugin::session_from_bytes(bytes), Catch::Contains("lacks one that is always there"));
  session.stages = plugin::usual_stages();
  session.stages.push_back(session.stages[0]);
  CHECK_THROWS_WITH(plugin::session_from_bytes(plugin::to_bytes(session)), Catch::Contains("makes no sense"));
}

}  // namespace
