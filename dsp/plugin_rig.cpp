// Arranges a rig's stages for the plugin.
#include "dsp/plugin_rig.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/text.h"
#include "dsp/rack.h"

namespace coil::dsp {
namespace {

template <class Kind>
bool is(const RigStage& stage) {
  return std::holds_alternative<Kind>(stage.kind);
}

// The plugin's cabinet: its knobs reach every level, and it has no switch for the loudness.
bool fits_the_cabinet(const RigCabinet& cabinet) {
  return cabinet.normalise && std::ranges::all_of(cabinet.microphones, [](const RigMicrophone& each) {
           return each.level_db >= kPluginMinMicrophoneDb && each.level_db <= kPluginMaxMicrophoneDb;
         });
}

// The plugin's bands have the usual kinds.
bool fits_the_equaliser(const EqualiserSettings& settings) {
  const EqualiserSettings usual;
  for (size_t i = 0; i < settings.bands.size(); ++i)
    if (settings.bands[i].kind != usual.bands[i].kind && settings.bands[i].gain_db != 0) return false;
  return true;
}

class Arrangement {
 public:
  explicit Arrangement(const Rig& rig) : rig_(rig), begin_(0), end_(rig.stages.size()) {
    result_.mix = rig.mix;
    result_.input_db = rig.input_db;
    result_.output_db = rig.output_db;
  }

  PluginRig run() {
    const size_t main = main_model();
    while (begin_ < main && joins(rig_.stages[begin_], result_.input_db)) ++begin_;
    if (rig_.mix == 1)
      while (end_ > main + 1 && joins(rig_.stages[end_ - 1], result_.output_db)) --end_;
    limit(result_.input_db, "before");
    limit(result_.output_db, "after");
    for (size_t at = begin_; at < end_; ++at) place(at, at == main);
    return std::move(result_);
  }

 private:
  size_t main_model() const {
    const auto& stages = rig_.stages;
    const auto marked = [](const RigStage& stage) {
      return is<RigModel>(stage) && std::get<RigModel>(stage.kind).main;
    };
    if (const auto found = std::ranges::find_if(stages, marked); found != stages.end())
      return static_cast<size_t>(found - stages.begin());
    const auto cabinet = std::ranges::find_if(stages, is<RigCabinet>);
    const auto last_before = [&](auto end) {
      size_t last = stages.size();
      for (auto it = stages.begin(); it != end; ++it)
        if (is<RigModel>(*it)) last = static_cast<size_t>(it - stages.begin());
      return last;
    };
    size_t last = last_before(cabinet);
    if (last == stages.size()) last = last_before(stages.end());
    if (last == stages.size()) throw Error("the rig contains no model, and the plugin needs one");
    return last;
  }

  // A gain at either end of the list becomes the plugin's own, if it is within the plugin's range.
  static bool joins(const RigStage& stage, float& db) {
    if (!is<RigGain>(stage) || stage.mix != 1) return false;
    const float sum = db + (stage.bypassed ? 0 : std::get<RigGain>(stage.kind).db);
    if (std::fabs(sum) > kPluginGainDb) return false;
    db = sum;
    return true;
  }

  void limit(float& db, const char* where) {
    const float taken = std::clamp(db, -kPluginGainDb, kPluginGainDb);
    if (taken != db)
      result_.warnings.push_back("the plugin plays a gain " + std::string(where) + " the stages of " + number(db) +
                                 " dB as " + number(taken) + " dB");
    db = taken;
  }

  void place(size_t at, bool is_main) {
    const RigStage& stage = rig_.stages[at];
    if (is_main) {
      result_.model_stage = stage;
      result_.model = std::get<RigModel>(stage.kind);
      result_.places.push_back({kModelsStage, {}});
    } else if (is<RigCabinet>(stage) && !has(kTailStage) && fits_the_cabinet(std::get<RigCabinet>(stage.kind))) {
      result_.cabinet = std::get<RigCabinet>(stage.kind);
      result_.cabinet_on = !stage.bypassed;
      result_.cabinet_mix = stage.mix;
      result_.places.push_back({kTailStage, {}});
    } else if (is<EqualiserSettings>(stage) && !has(kEqualiserStage) &&
               fits_the_equaliser(std::get<EqualiserSettings>(stage.kind))) {
      result_.equaliser = std::get<EqualiserSettings>(stage.kind);
      result_.equaliser_on = !stage.bypassed;
      result_.equaliser_mix = stage.mix;
      result_.places.push_back({kEqualiserStage, {}});
    } else if (further_ < kFurtherStages) {
      result_.places.push_back({further_++, stage});
    } else {
      throw Error("stage " + std::to_string(at + 1) + " (" + stage.name + ") is one too many; besides a model, a " +
                  "cabinet and an equaliser, the plugin has room for " + std::to_string(kFurtherStages) +
                  " stages (`coil process --chain` plays any rig)");
    }
  }

  bool has(int number) const {
    return std::ranges::find(result_.places, number, &PluginRig::Place::number) != result_.places.end();
  }

  const Rig& rig_;
  size_t begin_, end_;  // of the stages that are not the plugin's own gains
  PluginRig result_;
  int further_ = 0;
};

// The plugin's list always has its three stages, the missing ones at their usual place: behind the models.
void add_missing(std::vector<PluginRig::Place>& places) {
  const auto find = [&](int number) { return std::ranges::find(places, number, &PluginRig::Place::number); };
  if (find(kTailStage) == places.end()) places.insert(find(kModelsStage) + 1, {kTailStage, {}});
  if (find(kEqualiserStage) == places.end()) places.push_back({kEqualiserStage, {}});
}

}  // namespace

PluginRig arrange_for_plugin(const Rig& rig) {
  PluginRig arranged = Arrangement(rig).run();
  add_missing(arranged.places);
  return arranged;
}

}  // namespace coil::dsp
