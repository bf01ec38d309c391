// Loading of the cabinet and the list of stages: the content changes at once,
// the sound when another thread has made the new stages.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plugin/loading.h"

namespace coil::plugin {

// ---------------------------------------------------------------- the cabinet

void Loading::load_response(int microphone, const juce::File& file) {
  uint64_t request = 0;
  {
    const size_t at = size_t(microphone);
    const std::lock_guard lock(store_.mutex);
    request = store_.cabinet.requests[at] = ++store_.requests;
    store_.cabinet.loading_files[at] = file;
    store_.cabinet.load_errors[at].clear();
  }
  announcer_.tell_window();
  background_.post(this, [this, microphone, file, request] { load_response_now(microphone, file, request); });
}

void Loading::load_response_now(int microphone, const juce::File& file, uint64_t request) {
  const size_t at = size_t(microphone);
  {
    const std::lock_guard lock(store_.mutex);
    if (store_.cabinet.requests[at] != request) return;
  }
  MicrophoneContent loaded;
  std::string wrong;
  try {
    loaded = microphone_with(file);
  } catch (const Error& error) {
    wrong = error.what();
  } catch (const std::exception& error) {
    wrong = file.getFullPathName().toStdString() + ": " + error.what();
  }
  {
    Forgotten forgotten;
    const std::lock_guard lock(store_.mutex);
    if (store_.cabinet.requests[at] != request) return;
    store_.cabinet.loading_files[at] = juce::File();
    store_.cabinet.load_errors[at] = wrong;
    if (wrong.empty()) {
      forgotten = edit_cabinet(true, [&](CabinetContent& cabinet) {
        loaded.settings = cabinet.microphones[at].settings;
        std::swap(cabinet.microphones[at], loaded);
      });
      store_.was_loaded();
    }
  }
  play_chain();
  announcer_.tell_of_change(By::player);
}

void Loading::clear_response(int microphone) {
  const size_t at = size_t(microphone);
  MicrophoneContent gone;
  {
    Forgotten forgotten;
    const std::lock_guard lock(store_.mutex);
    store_.cabinet.requests[at] = ++store_.requests;
    store_.cabinet.loading_files[at] = juce::File();
    store_.cabinet.load_errors[at].clear();
    if (!store_.cabinet.content.microphones[at].empty())
      forgotten = edit_cabinet(true, [&](CabinetContent& cabinet) { std::swap(cabinet.microphones[at], gone); });
  }
  follow_cabinet();
  announcer_.tell_of_change(By::player);
}

void Loading::set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step) {
  {
    Forgotten forgotten;
    const std::lock_guard lock(store_.mutex);
    if (store_.cabinet.content.microphones[size_t(microphone)].settings == settings) return;
    forgotten = edit_cabinet(
        is_step, [&](CabinetContent& cabinet) { cabinet.microphones[size_t(microphone)].settings = settings; });
  }
  follow_cabinet();
  announcer_.tell_of_change(By::player);
}

Loading::Forgotten Loading::edit_cabinet(bool is_step, const std::function<void(CabinetContent&)>& edit) {
  Forgotten forgotten;
  if (is_step) forgotten.sessions = undo_.changing();
  edit(store_.cabinet.content);
  if (Session* const target = undo_.target()) target->cabinet = store_.cabinet.content;
  ++store_.cabinet.edits;
  ++store_.cabinet.version;
  return forgotten;
}

// One at a time, always with the latest content: of several changes in the meantime, only the last one is made.
void Loading::play_chain() {
  const std::lock_guard making(chain_mutex_);
  CabinetContent cabinet;
  StageList stages;
  uint64_t cabinet_version = 0, stages_version = 0;
  int slot = 0;
  {
    const std::lock_guard lock(store_.mutex);
    cabinet_version = store_.cabinet.version;
    stages_version = store_.stages_version;
    cabinet = store_.cabinet.content;
    stages = store_.stages;
    slot = store_.active_slot;
  }
  if (cabinet_version != played_cabinet_) {
    try {
      store_.rack.load_tail(tail_of(cabinet));
      cabinet_seconds_ = plugin::tail_seconds(cabinet);
    } catch (const std::exception& error) {
      const std::lock_guard lock(store_.mutex);
      store_.cabinet.load_errors[0] = error.what();
    }
    played_cabinet_ = cabinet_version;
  }
  if (stages_version != played_stages_) {
    try {
      store_.rack.set_stages(rack_stages(stages));
      further_seconds_ = plugin::tail_seconds(stages);
    } catch (const std::exception& error) {
      store_.set_error(slot, error.what());
    }
    played_stages_ = stages_version;
  }
}

void Loading::follow_cabinet() {
  background_.post(this, [this] { play_chain(); });
}

// ---------------------------------------------------------------- the list of
// stages

void Loading::add_stage(dsp::RigStage stage, int place) {
  background_.post(this, [this, place, stage = std::move(stage)] {
    StageList made{{0, further_stage(stage, dsp::Rig())}};
    resolve(made, library_);
    add_now(std::move(made[0].further), place);
  });
}

void Loading::add_stage(const juce::File& file, int place) {
  const std::string path = file.getFullPathName().toStdString();
  dsp::RigStage stage;
  stage.name = file.getFileNameWithoutExtension().toStdString();
  if (is_response_name(file.getFileName())) {
    stage.kind = dsp::RigCabinet{{{path, 0, 0, 0, false, {}}}};
  } else {
    stage.kind = dsp::RigModel{path, {}, store_.rack.rate_mode(), {}, true};
  }
  add_stage(std::move(stage), place);
}

void Loading::add_now(std::shared_ptr<const FurtherStage> stage, int place) {
  std::string wrong = stage->problem();
  if (wrong.empty()) {
    Forgotten forgotten;
    const std::lock_guard lock(store_.mutex);
    int number = 0;
    while (std::ranges::find(store_.stages, number, &StagePlace::number) != store_.stages.end()) ++number;
    if (number < dsp::kFurtherStages) {
      forgotten = edit_stages([&](StageList& stages) {
        const int at = std::clamp(place, 0, int(stages.size()));
        stages.insert(stages.begin() + at, {number, std::move(stage)});
      });
      store_.parameters.set_chain({{stage_id(number, "on"), 1.0f}, {stage_id(number, "mix"), 100.0f}});
    } else {
      wrong = "the plugin has room for " + std::to_string(dsp::kFurtherStages) + " stages besides the usual three";
    }
  }
  if (!wrong.empty()) store_.set_error(store_.active(), wrong);
  play_chain();
  announcer_.tell_of_change(By::player);
}

void Loading::remove_stage(int number) {
  change_stages([number](StageList& stages) {
    std::erase_if(stages, [&](const StagePlace& place) { return place.further && place.number == number; });
  });
}

void Loading::move_stage(int number, int place) {
  change_stages([number, place](StageList& stages) {
    const auto from = std::ranges::find(stages, number, &StagePlace::number);
    if (from == stages.end()) return;
    StagePlace moved = std::move(*from);
    stages.erase(from);
    stages.insert(stages.begin() + std::clamp(place, 0, int(stages.size())), std::move(moved));
  });
}

void Loading::change_stages(const std::function<void(StageList&)>& edit) {
  {
    Forgotten forgotten;
    const std::lock_guard lock(store_.mutex);
    forgotten = edit_stages(edit);
  }
  background_.post(this, [this] {
    play_chain();
    announcer_.tell_of_change(By::player);
  });
  announcer_.tell_of_change(By::player);
}

Loading::Forgotten Loading::edit_stages(const std::function<void(StageList&)>& edit) {
  Forgotten forgotten;
  forgotten.sessions = undo_.changing();
  edit(store_.stages);
  if (Session* const target = undo_.target()) target->stages = store_.stages;
  ++store_.stage_edits;
  ++store_.stages_version;
  return forgotten;
}

}  // namespace coil::plugin
