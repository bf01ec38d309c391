// Arranges a rig's stages for the plugin.
#include "dsp/plugin_rig.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace coil::dsp {
namespace {

class Arrangement {
 public:
  explicit Arrangement(const Rig& rig) : rig_(rig) {
    result_.input_db = rig.input_db;
    result_.output_db = rig.output_db;
    result_.mix = rig.mix;
  }

  PluginRig run() {
    for (; at_ < rig_.stages.size(); ++at_) {
      const RigStage& stage = rig_.stages[at_];
      if (stage.mix != 1) throw misfit("has its own mix");
      std::visit([&](const auto& kind) { place(stage, kind); }, stage.kind);
    }
    if (!has_model_) throw Error("the rig contains no model, and the plugin needs one");
    result_.input_db = within(result_.input_db, -kPluginGainDb, kPluginGainDb, "gain before the model");
    result_.output_db = within(result_.output_db, -kPluginGainDb, kPluginGainDb, "gain after the model");
    if (gate_db_ > kGateOffDb) result_.model.gate_db = gate_db_;
    return std::move(result_);
  }

 private:
  Error misfit(const std::string& why) const {
    return Error(
        "stage " + std::to_string(at_ + 1) + " (" + rig_.stages[at_].name + ") " + why +
        "; the plugin plays one model, then a cabinet and an equaliser (`coil process --chain` plays any rig)");
  }
  float within(float value, float min, float max, const std::string& what) {
    const float taken = std::clamp(value, min, max);
    if (taken != value)
      result_.warnings.push_back("the plugin plays a " + what + " of " + number(value) + " dB as " + number(taken) +
                                 " dB");
    return taken;
  }

  void place(const RigStage& stage, const RigGain& gain) {
    if (stage.bypassed) return;
    if (has_model_ && rig_.mix != 1) throw misfit("cannot be placed there unless the rig's mix is 1");
    (has_model_ ? result_.output_db : result_.input_db) += gain.db;
  }

  void place(const RigStage& stage, const RigGate& gate) {
    if (has_model_) throw misfit("comes after the model");
    if (stage.bypassed) return;
    if (gate_db_ > kGateOffDb) throw misfit("is a second gate");
    gate_db_ = gate.threshold_db;
    result_.warnings.push_back("in the plugin, the gate before the model attenuates the model's output, not its input");
  }

  void place(const RigStage& stage, const RigModel& model) {
    if (std::exchange(has_model_, true)) throw misfit("is a second model");
    if (stage.bypassed) result_.warnings.push_back("the rig bypasses its model; the plugin plays it");
    result_.model_stage = stage;
    result_.model = model;
  }

  void place(const RigStage& stage, const RigCabinet& cabinet) {
    if (!has_model_) throw misfit("comes before the model");
    if (!result_.cabinet.microphones.empty()) throw misfit("is a second cabinet");
    if (!cabinet.normalise) result_.warnings.push_back("the plugin normalises the cabinet's loudness");
    result_.cabinet = cabinet;
    for (RigMicrophone& each : result_.cabinet.microphones)
      each.level_db = within(each.level_db, kPluginMinMicrophoneDb, kPluginMaxMicrophoneDb, "microphone level");
    result_.cabinet_on = !stage.bypassed;
  }

  void place(const RigStage& stage, const EqualiserSettings& settings) {
    if (!has_model_) throw misfit("comes before the model");
    if (std::exchange(has_equaliser_, true)) throw misfit("is a second equaliser");
    const EqualiserSettings usual;
    for (size_t i = 0; i < settings.bands.size(); ++i)
      if (settings.bands[i].kind != usual.bands[i].kind && settings.bands[i].gain_db != 0)
        throw misfit("has a band " + std::to_string(i + 1) + " of another kind than the plugin's");
    result_.equaliser = settings;
    result_.equaliser_on = !stage.bypassed;
  }

  const Rig& rig_;
  PluginRig result_;
  size_t at_ = 0;
  float gate_db_ = kGateOffDb;
  bool has_model_ = false, has_equaliser_ = false;
};

}  // namespace

PluginRig arrange_for_plugin(const Rig& rig) { return Arrangement(rig).run(); }

}  // namespace coil::dsp
