// User presets are rigs: what the plugin saves plays through `coil process --chain` as well, and rigs open in the
// plugin.
#include "plugin/preset.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>

#include "base/error.h"
#include "dsp/rig.h"
#include "tests/plugin/offline_rig.h"
#include "tests/plugin/processor_calls.h"
#include "tests/plugin/sessions.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;
using plugin::Processor;
using Kind = plugin::SlotStatus::Kind;
using test::finish, test::kBlock, test::load, test::open, test::run, test::saved, test::set, test::wait_for;

constexpr double kRate = 48000;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// A cabinet of one response of decaying noise.
plugin::CabinetContent cabinet() {
  auto response = std::make_shared<dsp::ImpulseResponse>();
  response->sample_rate_hz = 44100;
  response->channels = {test::noise(1, 3000)[0]};
  for (size_t i = 0; i < 3000; ++i) response->channels[0][i] *= std::exp(-float(i) / 400);
  plugin::CabinetContent content;
  content.microphones[0] = {"cone", "/nowhere/cone.wav", "cone-checksum", {-3, 0.4f, 1, true}, response, {}};
  return content;
}

std::string error_of(const std::string& rig) {
  try {
    plugin::preset_from_bytes(bytes_of(rig), "lead.coil");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a preset that the plugin saves is a rig that sounds the same offline, to -120 dB, and opens anywhere") {
  const int channels = GENERATE(0, 1, 2, 3);
  plugin::Session session = test::overdrive_session({{"drive", 7}});
  session.cabinet = cabinet();
  session.chain = {{"calibrated", 1},   {"input_dbu", 9},   {"normalise", 1},        {"input_gain", 6.5f},
                   {"output_gain", -4}, {"mix", 70},        {"gate_threshold", -30}, {"channels", float(channels)},
                   {"band_2_gain", -9}, {"band_2_hz", 700}, {"low_cut", 90},         {"high_cut", 5000}};
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  open(processor, session);
  const juce::File file = processor.save_preset("Everything " + juce::String(channels));
  const std::string text = file.loadFileAsString().toStdString();
  const dsp::Rig rig = dsp::read_rig(text, "preset");
  CHECK(rig.warnings.empty());
  CHECK(rig.name == "Everything " + std::to_string(channels));
  processor.prepareToPlay(kRate, kBlock);
  const test::Planes in = test::noise(2, 24000);
  const test::Planes played = run(processor, in);
  CHECK(test::difference_db(played, test::play_embedded(rig, in, kRate)) < -120);

  Processor other;
  other.prepareToPlay(kRate, kBlock);
  const juce::AudioProcessorParameter& interface = *processor.parameters().input_dbu;
  set(*other.parameters().input_dbu, interface.getValue());  // the same interface
  load(other, 0, file);
  finish();  // the cabinet follows the model
  INFO(other.status(0).load_error);
  REQUIRE(other.status(0).kind == Kind::playing);
  CHECK(other.status(0).load_error.isEmpty());
  CHECK(other.status(0).name == file.getFileNameWithoutExtension());
  other.prepareToPlay(kRate, kBlock);
  CHECK(test::difference_db(run(other, in), played) < -120);
  CHECK(other.model(0)->hash() == processor.model(0)->hash());
  CHECK(saved(other).cabinet->microphones[0].checksum == "cone-checksum");

  Processor scripted;  // its host sets the rig as the state
  scripted.prepareToPlay(kRate, kBlock);
  const std::string padded = text + std::string(3, '\0');
  scripted.setStateInformation(padded.data(), int(padded.size()));
  CHECK(scripted.notice().isEmpty());
  scripted.prepareToPlay(kRate, kBlock);
  CHECK(test::difference_db(run(scripted, in), played) < -120);
  file.deleteFile();
}

TEST_CASE("a rig that was written by hand opens in the plugin, with what it names beside it or in the library") {
  const test::TempDir dir;
  std::filesystem::copy_file(test::overdrive_path(), dir / "mine.safetensors");
  const char* const name = GENERATE("green_overdrive", "mine.safetensors");
  std::ofstream(dir / "lead.coil") << R"({"rig": 1, "stages": [{"type": "gain", "db": 3},
      {"type": "gate", "threshold_db": -50}, {"type": "model", "file": ")"
                                   << name << R"(", "controls": {"drive": 9}},
      {"type": "equaliser", "low_cut_hz": 100, "bypassed": true}, {"type": "gain", "db": 50}]})";
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, juce::File((dir / "lead.coil").string()));
  CHECK(processor.status(0).kind == Kind::playing);
  const auto& p = processor.parameters();
  CHECK(p.controls[0]->value_in_units() == Approx(9));
  CHECK(p.input_gain->get() == 3);
  CHECK(p.output_gain->get() == 0);  // whose range is too small for 50 dB
  CHECK(p.gate_threshold->get() == dsp::kGateOffDb);
  CHECK_FALSE(p.normalise->get());
  CHECK_FALSE(p.equaliser_on->get());
  CHECK(p.low_cut->get() == 100);
  CHECK(processor.status(0).load_error.isEmpty());
  std::vector<int> numbers;
  for (const plugin::StageStatus& stage : processor.stages()) numbers.push_back(stage.number);
  CHECK(numbers == std::vector{0, dsp::kModelsStage, dsp::kTailStage, dsp::kEqualiserStage, 1});
}

TEST_CASE("a rig that names a cabinet of the library plays it, and an unknown name is reported") {
  const test::TempDir dir;
  const bool known = GENERATE(true, false);
  std::ofstream(dir / "lead.coil") << R"({"rig": 1, "stages": [{"type": "model", "file": "green_overdrive"},
      {"type": "cabinet", "microphones": [{"file": ")"
                                   << (known ? "british_4x12_edge" : "no_such_box") << R"("}]}]})";
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, juce::File((dir / "lead.coil").string()));
  finish();
  const plugin::MicrophoneStatus box = processor.microphone(0);
  CHECK(box.kind == (known ? plugin::MicrophoneStatus::Kind::playing : plugin::MicrophoneStatus::Kind::missing));
  CHECK(box.name == (known ? "british_4x12_edge" : "no_such_box"));
  CHECK(box.message.contains("no_such_box") == !known);
  if (known) CHECK(box.file == processor.library().find_cabinet("british_4x12_edge"));
}

TEST_CASE("rigs that the plugin has no room for say which stage is one too many") {
  const auto stages = [](const std::string& list) { return R"({"rig": 1, "stages": [)" + list + "]}"; };
  const std::string model = R"({"type": "model", "file": "green_overdrive"})", equaliser = R"({"type": "equaliser"})";
  CHECK(error_of(stages(model + "," + equaliser)).empty());
  CHECK(error_of(stages(equaliser + "," + model + R"(, {"type": "gate", "mix": 0.5},)" + model)).empty());
  CHECK_THAT(error_of(stages("")), Catch::Contains("lead.coil: the rig contains no model"));
  std::string many = model;
  for (int i = 0; i < 8; ++i) many += R"(, {"type": "gate"})";
  CHECK(error_of(stages(many)).empty());
  CHECK_THAT(error_of(stages(many + R"(, {"type": "gate", "name": "hush"})")),
             Catch::Contains("stage 10 (hush) is one too many"));
  CHECK_THAT(error_of("{"), Catch::Contains("lead.coil is not valid JSON"));
  CHECK_THAT(error_of("no preset"), Catch::Contains("lead.coil is not one of Coil"));
}

TEST_CASE("a rig's snapshots are read and written, and errors in them are reported") {
  const auto rig_with = [](const std::string& snapshots) {
    return R"({"rig": 1, "stages": [{"type": "model", "file": "green_overdrive"}], "snapshots": )" + snapshots + "}";
  };
  const dsp::Rig rig = dsp::read_rig(rig_with(R"({"B": {"values": {"mix": 40}, "controls": {"drive": 7},
      "microphones": [{"level_db": -3, "inverted": true}]}})"),
                                     "lead.coil");
  CHECK(rig.warnings.empty());
  REQUIRE(rig.snapshots.size() == 1);
  const dsp::RigSnapshot again = dsp::read_rig(dsp::write_rig(rig), "again").snapshots.at("B");
  CHECK(again.values == std::map<std::string, float>{{"mix", 40}});
  CHECK(again.controls == std::map<std::string, float>{{"drive", 7}});
  CHECK(again.microphones.at(0).level_db == -3);
  CHECK(again.microphones.at(0).inverted);
  CHECK(dsp::read_rig(rig_with(R"({"E": {}, "A": {"value": {}}})"), "lead.coil").warnings.size() == 2);
  CHECK_THAT(error_of(rig_with(R"({"A": {"values": {"mix": "all"}}})")),
             Catch::Contains("lead.coil.snapshots.A.values.mix must be a number"));
  CHECK_THAT(error_of(rig_with("3")), Catch::Contains("lead.coil.snapshots must be a JSON object"));
}

TEST_CASE("a preset of before, in bytes, still opens") {
  const test::TempDir dir;
  const std::vector<std::byte> old = plugin::to_bytes(test::overdrive_session({{"drive", 2}}));
  const juce::File file((dir / "old.coil").string());
  file.replaceWithData(old.data(), old.size());
  Processor processor;
  processor.prepareToPlay(kRate, kBlock);
  load(processor, 0, file);
  CHECK(processor.status(0).kind == Kind::playing);
  CHECK(processor.status(0).load_error.isEmpty());
  CHECK(processor.parameters().controls[0]->value_in_units() == Approx(2));
}

}  // namespace
