// The values of each kind of stage.
#include "plugin/stage_values.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

namespace coil::plugin {

namespace {

using Values = std::vector<StageValue>;
using Kind = StageValue::Kind;

// The ranges of docs/rig.md.
constexpr double kMostDb = 60, kLowestHz = 20, kHighestHz = 20000, kHighestCutHz = 24000;

// Of settings whose kind is known.
template <typename Settings>
Settings& in(dsp::RigStage& settings) {
  return std::get<Settings>(settings.kind);
}

void add(Values& values, const dsp::RigGain& gain) {
  values.push_back({"Gain",
                    "dB",
                    "Makes the sound louder or softer",
                    Kind::linear,
                    -kMostDb,
                    kMostDb,
                    0,
                    gain.db,
                    {},
                    [](auto& settings, double value) { in<dsp::RigGain>(settings).db = float(value); }});
}

void add(Values& values, const dsp::RigGate& gate) {
  const double usual = double(dsp::RigGate{}.threshold_db);
  values.push_back({"Threshold", "dBFS", "Softer sound is muted", Kind::linear, dsp::kGateOffDb, 0, usual,
                    gate.threshold_db, dsp::kGateOffDb,
                    [](auto& settings, double value) { in<dsp::RigGate>(settings).threshold_db = float(value); }});
}

void add(Values& values, const dsp::RigModel& model, const SlotContent& content) {
  if (content.loaded) {
    for (const ssm::Control& control : content.loaded->model->card().controls) {
      const auto set_to = model.controls.find(control.name);
      const double value = set_to != model.controls.end() ? double(set_to->second) : control.default_value;
      values.push_back({control.name,
                        control.unit,
                        control.description,
                        Kind::linear,
                        control.min,
                        control.max,
                        control.default_value,
                        value,
                        {},
                        [name = control.name](auto& settings, double set) {
                          in<dsp::RigModel>(settings).controls[name] = float(set);
                        }});
    }
  }
  values.push_back({"Gate", "dBFS", "Mutes the output while the input is softer", Kind::linear, dsp::kGateOffDb, 0,
                    dsp::kGateOffDb, model.gate_db, dsp::kGateOffDb,
                    [](auto& settings, double value) { in<dsp::RigModel>(settings).gate_db = float(value); }});
  values.push_back({"Normalise",
                    "",
                    "Plays every model at the same loudness",
                    Kind::on_off,
                    0,
                    1,
                    1,
                    model.normalise ? 1.0 : 0.0,
                    {},
                    [](auto& settings, double value) { in<dsp::RigModel>(settings).normalise = value > 0.5; }});
}

void add(Values& values, const dsp::RigCabinet& cabinet) {
  const size_t count = cabinet.microphones.size();
  for (size_t i = 0; i < count; ++i) {
    const dsp::RigMicrophone& each = cabinet.microphones[i];
    const std::string number = count > 1 ? " " + std::to_string(i + 1) : "", of = " of " + each.file;
    const auto microphone = [i](dsp::RigStage& settings) -> dsp::RigMicrophone& {
      return in<dsp::RigCabinet>(settings).microphones[i];
    };
    values.push_back({"Level" + number,
                      "dB",
                      "Level" + of,
                      Kind::linear,
                      -kMostDb,
                      kMostDb,
                      0,
                      each.level_db,
                      {},
                      [=](auto& settings, double value) { microphone(settings).level_db = float(value); }});
    values.push_back({"Pan" + number,
                      "",
                      "From left (-1) to right (1)" + of,
                      Kind::linear,
                      -1,
                      1,
                      0,
                      each.pan,
                      {},
                      [=](auto& settings, double value) { microphone(settings).pan = float(value); }});
    values.push_back({"Delay" + number,
                      "ms",
                      "Delay" + of,
                      Kind::linear,
                      0,
                      dsp::kMaxMicrophoneDelayMs,
                      0,
                      each.delay_ms,
                      {},
                      [=](auto& settings, double value) { microphone(settings).delay_ms = float(value); }});
    values.push_back({"Invert" + number,
                      "",
                      "Turns the polarity" + of,
                      Kind::on_off,
                      0,
                      1,
                      0,
                      each.inverted ? 1.0 : 0,
                      {},
                      [=](auto& settings, double value) { microphone(settings).inverted = value > 0.5; }});
  }
  values.push_back({"Normalise",
                    "",
                    "White noise keeps its loudness",
                    Kind::on_off,
                    0,
                    1,
                    1,
                    cabinet.normalise ? 1.0 : 0,
                    {},
                    [](auto& settings, double value) { in<dsp::RigCabinet>(settings).normalise = value > 0.5; }});
}

void add(Values& values, const dsp::EqualiserSettings& equaliser) {
  using Settings = dsp::EqualiserSettings;
  const Settings flat;
  for (size_t i = 0; i < equaliser.bands.size(); ++i) {
    const dsp::EqualiserBand &band = equaliser.bands[i], &usual = flat.bands[i];
    constexpr std::array<const char*, 3> kNames{"low shelf", "bell", "high shelf"};
    const std::string number = " " + std::to_string(i + 1),
                      of = " of band" + number + ", a " + kNames[size_t(band.kind)];
    values.push_back({"Gain" + number,
                      "dB",
                      "Gain" + of,
                      Kind::linear,
                      -dsp::kMaxBandDb,
                      dsp::kMaxBandDb,
                      0,
                      band.gain_db,
                      {},
                      [i](auto& settings, double value) { in<Settings>(settings).bands[i].gain_db = float(value); }});
    values.push_back({"Freq" + number,
                      "Hz",
                      "Frequency" + of,
                      Kind::logarithmic,
                      kLowestHz,
                      kHighestHz,
                      usual.hz,
                      band.hz,
                      {},
                      [i](auto& settings, double value) { in<Settings>(settings).bands[i].hz = float(value); }});
    values.push_back({"Q" + number,
                      "",
                      "Q" + of,
                      Kind::logarithmic,
                      0.1,
                      10,
                      usual.q,
                      band.q,
                      {},
                      [i](auto& settings, double value) { in<Settings>(settings).bands[i].q = float(value); }});
  }
  const double low = equaliser.low_cut_hz > 0 ? double(equaliser.low_cut_hz) : kLowestHz;
  const double high = equaliser.high_cut_hz > 0 ? double(equaliser.high_cut_hz) : kHighestCutHz;
  values.push_back(
      {"Low cut", "Hz", "12 dB per octave below", Kind::logarithmic, kLowestHz, kHighestHz, kLowestHz, low, kLowestHz,
       [](auto& settings, double value) { in<Settings>(settings).low_cut_hz = value > kLowestHz ? float(value) : 0; }});
  values.push_back({"High cut", "Hz", "12 dB per octave above", Kind::logarithmic, 1000, kHighestCutHz, kHighestCutHz,
                    high, kHighestCutHz, [](auto& settings, double value) {
                      in<Settings>(settings).high_cut_hz = value < kHighestCutHz ? float(value) : 0;
                    }});
}

void add(Values& values, const dsp::DoublerSettings& doubler) {
  using Settings = dsp::DoublerSettings;
  const Settings usual;
  // The second voice never comes before the first.
  values.push_back({"Delay",
                    "ms",
                    "How late the second voice is",
                    Kind::linear,
                    dsp::kMinDoublerMs,
                    dsp::kMaxDoublerMs,
                    usual.delay_ms,
                    doubler.delay_ms,
                    {},
                    [](auto& settings, double value) {
                      auto& to = in<Settings>(settings);
                      to.delay_ms = float(value);
                      to.drift_ms = std::min(to.drift_ms, to.delay_ms - dsp::kMinDoublerMs);
                    }});
  values.push_back({"Drift",
                    "ms",
                    "How far its delay moves",
                    Kind::linear,
                    0,
                    dsp::kMaxDriftMs,
                    usual.drift_ms,
                    doubler.drift_ms,
                    {},
                    [](auto& settings, double value) {
                      auto& to = in<Settings>(settings);
                      to.drift_ms = std::min(float(value), to.delay_ms - dsp::kMinDoublerMs);
                    }});
  values.push_back({"Level",
                    "dB",
                    "Level of the second voice",
                    Kind::linear,
                    -kMostDb,
                    kMostDb,
                    usual.level_db,
                    doubler.level_db,
                    {},
                    [](auto& settings, double value) { in<Settings>(settings).level_db = float(value); }});
  values.push_back({"Spread",
                    "",
                    "0: both voices in the middle, 1: left and right",
                    Kind::linear,
                    0,
                    1,
                    usual.spread,
                    doubler.spread,
                    {},
                    [](auto& settings, double value) { in<Settings>(settings).spread = float(value); }});
}

}  // namespace

std::vector<StageValue> values_of(const FurtherStage& stage) {
  Values values;
  std::visit(
      [&](const auto& settings) {
        if constexpr (std::is_same_v<std::decay_t<decltype(settings)>, dsp::RigModel>)
          add(values, settings, stage.model);
        else
          add(values, settings);
      },
      stage.rig.kind);
  return values;
}

}  // namespace coil::plugin
