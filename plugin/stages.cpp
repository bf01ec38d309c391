// Further stages: loaded from a rig's stages and back, and made for the rack.
#include "plugin/stages.h"

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "dsp/rig_chain.h"
#include "plugin/text.h"

namespace coil::plugin {

namespace {

uint64_t next_version() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

std::unique_ptr<dsp::AudioProcessor> nothing() { return std::make_unique<dsp::Chain>(std::vector<dsp::Stage>()); }

// The rig's cabinet without microphones whose response is missing, and the responses of the others.
std::unique_ptr<dsp::AudioProcessor> make_cabinet(const FurtherStage& stage) {
  dsp::RigStage rig = stage.rig;
  auto& cabinet = std::get<dsp::RigCabinet>(rig.kind);
  std::vector<std::shared_ptr<const dsp::ImpulseResponse>> responses;
  std::vector<dsp::RigMicrophone> playing;
  for (size_t i = 0; i < cabinet.microphones.size(); ++i) {
    const auto& response = stage.cabinet.microphones[i].response;
    if (!response) continue;
    responses.push_back(response);
    playing.push_back(cabinet.microphones[i]);
  }
  if (playing.empty()) return nothing();
  cabinet.microphones = std::move(playing);
  size_t next = 0;
  return dsp::make_processor(rig, {{}, [&](const dsp::RigMicrophone&) { return responses[next++]; }});
}

std::unique_ptr<dsp::AudioProcessor> make(const FurtherStage& stage) {
  if (stage.is_cabinet()) return make_cabinet(stage);
  if (stage.is_model() && !stage.model.loaded) return nothing();
  return dsp::make_processor(stage.rig, {[&](const dsp::RigModel&) { return stage.model.loaded->model; }, {}});
}

double seconds_of(const FurtherStage& stage) {
  if (const auto* doubler = std::get_if<dsp::DoublerSettings>(&stage.rig.kind))
    return static_cast<double>(doubler->delay_ms + doubler->drift_ms) / 1000;
  return stage.is_cabinet() ? tail_seconds(stage.cabinet) : 0;
}

bool is_loaded(const FurtherStage& stage) {
  if (stage.is_model()) return stage.model.loaded != nullptr;
  return !stage.is_cabinet() || std::ranges::none_of(stage.cabinet.microphones, &MicrophoneContent::missing);
}

}  // namespace

std::string FurtherStage::problem() const {
  if (is_model()) return model.missing;
  for (const MicrophoneContent& each : cabinet.microphones)
    if (!each.remark.empty()) return each.remark;
  return {};
}

StageList usual_stages() { return {{dsp::kModelsStage, {}}, {dsp::kTailStage, {}}, {dsp::kEqualiserStage, {}}}; }

SlotContent slot_of(const dsp::RigModel& model, const std::string& name, const dsp::Rig& whole) {
  SlotContent slot;
  slot.hash = model.hash;
  slot.name = name;
  slot.path = model.file;
  slot.controls = model.controls;
  if (const auto bytes = whole.models.find(model.hash); bytes != whole.models.end()) slot.file_bytes = bytes->second;
  return slot;
}

CabinetContent cabinet_of(const dsp::RigCabinet& cabinet, const dsp::Rig& whole) {
  CabinetContent content;
  for (size_t i = 0; i < cabinet.microphones.size(); ++i) {
    const dsp::RigMicrophone& from = cabinet.microphones[i];
    MicrophoneContent& to = content.microphones[i];
    const juce::String name = from_utf8(from.file);
    to.name = juce::File::createFileWithoutCheckingPath(name).getFileNameWithoutExtension().toStdString();
    to.path = from.file;
    to.checksum = from.checksum;
    to.settings = {from.level_db, from.pan, from.delay_ms, from.inverted};
    if (const auto taps = whole.responses.find(from.checksum); taps != whole.responses.end())
      to.response = taps->second;
  }
  return content;
}

std::shared_ptr<const FurtherStage> further_stage(dsp::RigStage rig, const dsp::Rig& whole) {
  auto stage = std::make_shared<FurtherStage>();
  if (const auto* model = std::get_if<dsp::RigModel>(&rig.kind)) stage->model = slot_of(*model, rig.name, whole);
  if (const auto* cabinet = std::get_if<dsp::RigCabinet>(&rig.kind)) stage->cabinet = cabinet_of(*cabinet, whole);
  stage->rig = std::move(rig);
  stage->version = next_version();
  return stage;
}

std::shared_ptr<const FurtherStage> with_settings(const FurtherStage& stage, dsp::RigStage settings) {
  auto edited = std::make_shared<FurtherStage>(stage);
  edited->rig = std::move(settings);
  edited->version = next_version();
  return edited;
}

void resolve(StageList& stages, ModelLibrary& library) {
  for (StagePlace& place : stages) {
    if (!place.further || is_loaded(*place.further)) continue;
    auto loaded = std::make_shared<FurtherStage>(*place.further);
    if (loaded->is_model()) resolve(loaded->model, library);
    resolve(loaded->cabinet);
    loaded->version = next_version();
    place.further = std::move(loaded);
  }
}

std::vector<dsp::RackStage> rack_stages(const StageList& stages) {
  std::vector<dsp::RackStage> all;
  for (const StagePlace& place : stages) {
    if (place.further) {
      all.push_back({place.number, place.further->rig.name, [stage = place.further] { return make(*stage); },
                     place.further->version});
    } else {
      all.push_back({place.number, {}, {}, 0});
    }
  }
  return all;
}

dsp::RigStage rig_stage(const FurtherStage& stage, dsp::Rig& rig) {
  dsp::RigStage written = stage.rig;
  if (auto* model = std::get_if<dsp::RigModel>(&written.kind)) {
    model->file = stage.model.path.empty() ? stage.model.name : stage.model.path;
    model->hash = stage.model.hash;
    if (stage.model.file_bytes) rig.models[stage.model.hash] = stage.model.file_bytes;
  }
  if (auto* cabinet = std::get_if<dsp::RigCabinet>(&written.kind)) {
    for (size_t i = 0; i < cabinet->microphones.size(); ++i) {
      const MicrophoneContent& each = stage.cabinet.microphones[i];
      cabinet->microphones[i].file = each.path.empty() ? each.name : each.path;
      cabinet->microphones[i].checksum = each.checksum;
      if (each.response && fits_into_session(*each.response)) rig.responses[each.checksum] = each.response;
    }
  }
  return written;
}

std::string text_of(const StageList& stages) {
  dsp::Rig rig;
  nlohmann::json order = nlohmann::json::array();
  for (const StagePlace& place : stages) {
    order.push_back(place.number);
    if (place.further) rig.stages.push_back(rig_stage(*place.further, rig));
  }
  return nlohmann::json{{"order", std::move(order)}, {"rig", dsp::write_rig(rig)}}.dump();
}

StageList stages_from_text(const std::string& text, const std::string& what) {
  const auto json = nlohmann::json::parse(text);
  const dsp::Rig rig = dsp::read_rig(json.at("rig").get<std::string>(), what);
  StageList stages;
  size_t next = 0;
  for (const nlohmann::json& number : json.at("order")) {
    StagePlace place{number.get<int>(), {}};
    const bool twice = std::ranges::find(stages, place.number, &StagePlace::number) != stages.end();
    if (twice || place.number < dsp::kEqualiserStage || place.number >= dsp::kFurtherStages ||
        (place.number >= 0 && next == rig.stages.size()))
      throw Error(what + " is damaged: its list of stages makes no sense");
    if (place.number >= 0) place.further = further_stage(rig.stages[next++], rig);
    stages.push_back(std::move(place));
  }
  for (const StagePlace& usual : usual_stages())
    if (std::ranges::find(stages, usual.number, &StagePlace::number) == stages.end())
      throw Error(what + " is damaged: its list of stages lacks one that is always there");
  return stages;
}

double tail_seconds(const StageList& stages) {
  double sum = 0;
  for (const StagePlace& place : stages)
    if (place.further) sum += seconds_of(*place.further);
  return sum;
}

}  // namespace coil::plugin
