// The plugin's list of stages: where its models, cabinet and equaliser stand, and the further stages between them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dsp/plugin_rig.h"
#include "dsp/rack.h"
#include "plugin/cabinet.h"
#include "plugin/slot_content.h"

namespace coil::plugin {

// One stage besides the usual ones. Does not change once it is in a list: an edit makes another.
struct FurtherStage {
  // Power and mix come from the parameters, not from here.
  dsp::RigStage rig;
  SlotContent model;       // of a model: its file
  CabinetContent cabinet;  // of a cabinet: its responses
  uint64_t version = 0;    // of this object, see dsp::RackStage

  bool is_model() const { return std::holds_alternative<dsp::RigModel>(rig.kind); }
  bool is_cabinet() const { return std::holds_alternative<dsp::RigCabinet>(rig.kind); }
  std::string problem() const;  // what is missing, in one line; empty if all is well
};

// One place of the list. `number`: as dsp::RackStage; of a further stage also the number of its parameters.
struct StagePlace {
  int number = dsp::kModelsStage;
  std::shared_ptr<const FurtherStage> further;  // null: one of the usual stages
};
using StageList = std::vector<StagePlace>;

StageList usual_stages();  // models, cabinet, equaliser

// What a rig says of a model or cabinet, with the files that it brings along. Nothing is loaded yet.
SlotContent slot_of(const dsp::RigModel& model, const std::string& name, const dsp::Rig& whole);
CabinetContent cabinet_of(const dsp::RigCabinet& cabinet, const dsp::Rig& whole);
std::shared_ptr<const FurtherStage> further_stage(dsp::RigStage rig, const dsp::Rig& whole);

// The same stage with other settings. They are of its kind and name its files. [any thread]
std::shared_ptr<const FurtherStage> with_settings(const FurtherStage& stage, dsp::RigStage settings);

// Loads what is not loaded yet. [any thread but the audio thread]
void resolve(StageList& stages, ModelLibrary& library);

// For dsp::Rack::set_stages(). A stage whose files are missing passes the sound.
std::vector<dsp::RackStage> rack_stages(const StageList& stages);

// The stages for a rig, with their files embedded in `rig` as far as they fit. Power and mix are not set.
dsp::RigStage rig_stage(const FurtherStage& stage, dsp::Rig& rig);

// The whole list as a text, for the session. The second throws Error; `what` names the text. [any thread]
std::string text_of(const StageList& stages);
StageList stages_from_text(const std::string& text, const std::string& what);

// How long the further stages ring after the end of their input.
double tail_seconds(const StageList& stages);

}  // namespace coil::plugin
