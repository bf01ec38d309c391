// Changes of the list of stages: the content changes at once, the sound when another thread has made the new stages.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plugin/processor.h"

namespace coil::plugin {

namespace {

juce::String text(const std::string& utf8) { return juce::String::fromUTF8(utf8.c_str()); }

StageStatus::Kind kind_of(const StagePlace& place) {
  using Kind = StageStatus::Kind;
  if (place.number == dsp::kModelsStage) return Kind::model;
  if (place.number == dsp::kTailStage) return Kind::cabinet;
  if (place.number == dsp::kEqualiserStage) return Kind::equaliser;
  constexpr Kind kKinds[] = {Kind::gain, Kind::gate, Kind::model, Kind::cabinet, Kind::equaliser};
  return kKinds[place.further->rig.kind.index()];
}

// A stage that has only its type's name is called by what it plays.
std::string name_of(const FurtherStage& stage) {
  const std::string& name = stage.rig.name;
  if (stage.is_model() && name == "model" && stage.model.loaded) return stage.model.loaded->name;
  if (stage.is_cabinet() && name == "cabinet") return stage.cabinet.microphones[0].name;
  return name;
}

}  // namespace

std::vector<StageStatus> Processor::stages() const {
  std::vector<StageStatus> all;
  const std::lock_guard lock(mutex_);
  for (const StagePlace& place : stages_) {
    StageStatus status{place.number, kind_of(place), {}, {}};
    if (place.further) {
      status.name = text(name_of(*place.further));
      status.message = text(place.further->problem());
      if (status.message.isEmpty()) status.message = text(rack_.stage_problem(place.number));
    }
    all.push_back(std::move(status));
  }
  return all;
}

void Processor::add_stage(dsp::RigStage stage, int place) {
  background_->post(this, [this, place, stage = std::move(stage)] {
    StageList made{{0, further_stage(stage, dsp::Rig())}};
    resolve(made, *library_);
    add_now(std::move(made[0].further), place);
  });
}

void Processor::add_stage(const juce::File& file, int place) {
  const std::string path = file.getFullPathName().toStdString();
  dsp::RigStage stage;
  stage.name = file.getFileNameWithoutExtension().toStdString();
  if (is_response_name(file.getFileName())) {
    stage.kind = dsp::RigCabinet{{{path, 0, 0, 0, false, {}}}};
  } else {
    stage.kind = dsp::RigModel{path, {}, rate_mode(), {}, true};
  }
  add_stage(std::move(stage), place);
}

void Processor::add_now(std::shared_ptr<const FurtherStage> stage, int place) {
  std::string wrong = stage->problem();
  if (wrong.empty()) {
    Forgotten forgotten;
    const std::lock_guard lock(mutex_);
    int number = 0;
    while (std::ranges::find(stages_, number, &StagePlace::number) != stages_.end()) ++number;
    if (number < dsp::kFurtherStages) {
      forgotten = edit_stages([&](StageList& stages) {
        const int at = std::clamp(place, 0, int(stages.size()));
        stages.insert(stages.begin() + at, {number, std::move(stage)});
      });
      parameters_.set_chain({{stage_id(number, "on"), 1.0f}, {stage_id(number, "mix"), 100.0f}});
    } else {
      wrong = "the plugin has room for " + std::to_string(dsp::kFurtherStages) + " stages besides the usual three";
    }
  }
  if (!wrong.empty()) {
    const std::lock_guard lock(mutex_);
    slots_[size_t(active_slot_)].load_error = wrong;
  }
  play_chain();
  tell_of_change(By::player);
}

void Processor::remove_stage(int number) {
  change_stages([number](StageList& stages) {
    std::erase_if(stages, [&](const StagePlace& place) { return place.further && place.number == number; });
  });
}

void Processor::move_stage(int number, int place) {
  change_stages([number, place](StageList& stages) {
    const auto from = std::ranges::find(stages, number, &StagePlace::number);
    if (from == stages.end()) return;
    StagePlace moved = std::move(*from);
    stages.erase(from);
    stages.insert(stages.begin() + std::clamp(place, 0, int(stages.size())), std::move(moved));
  });
}

std::shared_ptr<const FurtherStage> Processor::further_stage_at(int number) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(stages_, number, &StagePlace::number);
  return found == stages_.end() ? nullptr : found->further;
}

void Processor::edit_stage(int number, const dsp::RigStage& settings, bool is_step) {
  change_stages(
      [&](StageList& stages) {
        const auto found = std::ranges::find(stages, number, &StagePlace::number);
        if (found != stages.end() && found->further) found->further = with_settings(*found->further, settings);
      },
      is_step);
}

void Processor::change_stages(const std::function<void(StageList&)>& edit, bool is_step) {
  {
    Forgotten forgotten;
    const std::lock_guard lock(mutex_);
    forgotten = edit_stages(edit, is_step);
  }
  background_->post(this, [this] {
    play_chain();
    tell_of_change(By::player);
  });
  tell_of_change(By::player);
}

Processor::Forgotten Processor::edit_stages(const std::function<void(StageList&)>& edit, bool is_step) {
  Forgotten forgotten;
  if (is_step) forgotten.sessions = history_.changing(last_session());
  edit(stages_);
  if (going_to_) going_to_->stages = stages_;
  ++stage_edits_;
  ++stages_version_;
  return forgotten;
}

}  // namespace coil::plugin
