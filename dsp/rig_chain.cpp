// A rig's processors and chain, and a chain over a recording.
#include "dsp/rig_chain.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "dsp/front_end.h"
#include "dsp/level_stages.h"
#include "dsp/loudness.h"
#include "dsp/model_stage.h"

namespace coil::dsp {
namespace {

// Throws Error if the model lacks a control or a value is out of range.
std::vector<float> control_values(const RigModel& stage, const ssm::Model& model) {
  std::vector<float> values;
  std::string names;
  for (const ssm::Control& control : model.card().controls) {
    values.push_back(static_cast<float>(control.default_value));
    names += (names.empty() ? "" : ", ") + control.name;
  }
  for (const auto& [name, value] : stage.controls) {
    const auto& controls = model.card().controls;
    const auto found = std::ranges::find(controls, name, &ssm::Control::name);
    if (found == controls.end())
      throw Error(stage.file + " has no control '" + name + "'; it has " + (names.empty() ? "none" : names));
    if (!(value >= found->min && value <= found->max))
      throw Error(stage.file + ": " + name + " must be from " + number(found->min) + " to " + number(found->max) +
                  ", found " + number(value));
    values[static_cast<size_t>(found - controls.begin())] = value;
  }
  return values;
}

using Made = std::unique_ptr<AudioProcessor>;

Made make(const RigGain& gain, const RigFiles&) { return std::make_unique<GainStage>(gain.db); }

Made make(const RigGate& gate, const RigFiles&) { return std::make_unique<GateStage>(gate.threshold_db); }

Made make(const RigModel& model, const RigFiles& files) {
  const std::shared_ptr<const ssm::Model> loaded = files.model(model);
  ModelStageSettings settings;
  settings.rate_mode = model.rate_mode;
  settings.channels = model.channels;
  if (model.normalise) settings.normalisation_db = normalisation_gain_db(loaded);
  settings.gate_db = model.gate_db;
  return std::make_unique<ModelStage>(loaded, control_values(model, *loaded), settings);
}

Made make(const RigCabinet& cabinet, const RigFiles& files) {
  CabinetSettings settings;
  settings.normalise = cabinet.normalise;
  for (const RigMicrophone& each : cabinet.microphones)
    settings.microphones.push_back({files.response(each), each.level_db, each.pan, each.delay_ms, each.inverted});
  return std::make_unique<Cabinet>(std::move(settings));
}

Made make(const EqualiserSettings& settings, const RigFiles&) { return std::make_unique<Equaliser>(settings); }

Made make(const DoublerSettings& settings, const RigFiles&) { return std::make_unique<Doubler>(settings); }

class ChainRecording final : public RecordingProcessor {
 public:
  ChainRecording(Chain chain, double sample_rate_hz, int channels, double output_rate_hz)
      : RecordingProcessor(sample_rate_hz, output_rate_hz, channels, kBlockFrames), chain_(std::move(chain)) {
    chain_.prepare({sample_rate_hz, kBlockFrames, channels});
    alignment_.emplace(sample_rate_hz, sample_rate_hz, this->output_rate_hz(), channels, chain_.latency_frames());
  }

  const InputFaults& input_faults() const override { return chain_.input_faults(); }
  uint64_t restarts() const override { return chain_.restarts(); }

 private:
  static constexpr int kBlockFrames = 256;

  AudioBlock run(AudioBlock block) override {
    chain_.process(block);
    return alignment_->from_model(block);
  }

  Chain chain_;
  std::optional<RecordingFrontEnd> alignment_;
};

}  // namespace

std::unique_ptr<AudioProcessor> make_processor(const RigStage& stage, const RigFiles& files) {
  return std::visit([&](const auto& kind) { return make(kind, files); }, stage.kind);
}

Chain make_chain(const Rig& rig, const RigFiles& files) {
  std::vector<Stage> stages;
  if (rig.input_db != 0) stages.push_back({"input", std::make_unique<GainStage>(rig.input_db)});
  for (const RigStage& stage : rig.stages)
    stages.push_back({stage.name, make_processor(stage, files), stage.mix, stage.bypassed, {}});
  std::vector<Stage> whole;
  if (rig.mix != 1) {
    whole.push_back({"stages", std::make_unique<Chain>(std::move(stages)), rig.mix});
  } else {
    whole = std::move(stages);
  }
  if (rig.output_db != 0) whole.push_back({"output", std::make_unique<GainStage>(rig.output_db)});
  Chain chain(std::move(whole));
  chain.set_full_scale_dbu(rig.input_dbu);
  return chain;
}

std::unique_ptr<RecordingProcessor> chain_over_recording(Chain chain, double sample_rate_hz, int channels,
                                                         double output_rate_hz) {
  return std::make_unique<ChainRecording>(std::move(chain), sample_rate_hz, channels, output_rate_hz);
}

}  // namespace coil::dsp
