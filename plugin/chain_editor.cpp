// ChainEditor: the cabinet, then the list of stages.
#include "plugin/chain_editor.h"

#include <algorithm>
#include <utility>

#include "plugin/text.h"

namespace coil::plugin {

uint64_t ChainEditor::load_response(int microphone, const juce::File& file, Keep keep) {
  uint64_t request = 0;
  {
    const size_t at = size_t(microphone);
    const std::lock_guard lock(store_.mutex);
    request = store_.cabinet.requests[at] = ++store_.requests;
    store_.cabinet.loading_files[at] = file;
    store_.cabinet.load_errors[at].clear();
  }
  announcer_.tell_window();
  background_.post(this,
                   [this, microphone, file, request, keep] { load_response_now(microphone, file, request, keep); });
  return request;
}

void ChainEditor::load_response_now(int microphone, const juce::File& file, uint64_t request, Keep keep) {
  const size_t at = size_t(microphone);
  {
    const std::lock_guard lock(store_.mutex);
    if (store_.cabinet.requests[at] != request) return;
  }
  MicrophoneContent loaded;
  const std::string wrong = problem_of(file, [&] { loaded = microphone_with(file); });
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    if (store_.cabinet.requests[at] != request) return;
    store_.cabinet.loading_files[at] = juce::File();
    store_.cabinet.load_errors[at] = wrong;
    if (wrong.empty()) {
      forgotten = edit_cabinet(keep == Keep::at_once, [&](CabinetContent& cabinet) {
        loaded.settings = cabinet.microphones[at].settings;
        std::swap(cabinet.microphones[at], loaded);
      });
      if (keep == Keep::audition) store_.parameters.set_chain({{"cabinet", 1.0f}});
      store_.was_loaded();
    }
  }
  player_.follow();
  announcer_.tell_of_change(By::player);
}

void ChainEditor::clear_response(int microphone) {
  const size_t at = size_t(microphone);
  MicrophoneContent gone;
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    store_.cabinet.requests[at] = ++store_.requests;
    store_.cabinet.loading_files[at] = juce::File();
    store_.cabinet.load_errors[at].clear();
    if (!store_.cabinet.content.microphones[at].empty())
      forgotten = edit_cabinet(true, [&](CabinetContent& cabinet) { std::swap(cabinet.microphones[at], gone); });
  }
  follow();
  announcer_.tell_of_change(By::player);
}

void ChainEditor::set_microphone(int microphone, const MicrophoneSettings& settings, bool is_step) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    if (store_.cabinet.content.microphones[size_t(microphone)].settings == settings) return;
    forgotten = edit_cabinet(
        is_step, [&](CabinetContent& cabinet) { cabinet.microphones[size_t(microphone)].settings = settings; });
  }
  follow();
  announcer_.tell_of_change(By::player);
}

bool ChainEditor::recall(const std::array<MicrophoneSettings, kMicrophones>& settings) {
  auto& microphones = store_.cabinet.content.microphones;
  if (std::ranges::equal(microphones, settings, {}, &MicrophoneContent::settings)) return false;
  edit_cabinet(false, [&](CabinetContent& cabinet) {
    for (size_t i = 0; i < settings.size(); ++i) cabinet.microphones[i].settings = settings[i];
  });
  return true;
}

History::Sessions ChainEditor::edit_cabinet(bool is_step, const std::function<void(CabinetContent&)>& edit) {
  ++store_.cabinet.edits;
  ++store_.cabinet.version;
  return undo_.edit(store_.cabinet.content, &Session::cabinet, edit, is_step);
}

void ChainEditor::follow() {
  background_.post(this, [this] { player_.follow(); });
}

void ChainEditor::add_stage(dsp::RigStage stage, int place) {
  background_.post(this, [this, place, stage = std::move(stage)] {
    StageList made{{0, further_stage(stage, dsp::Rig())}};
    resolve(made, library_);
    add_now(std::move(made[0].further), place);
  });
}

void ChainEditor::add_stage(const juce::File& file, int place) {
  const std::string path = path_of(file);
  dsp::RigStage stage;
  stage.name = library_.name_of(file).toStdString();
  if (is_response_name(file.getFileName())) {
    stage.kind = dsp::RigCabinet{{{path, 0, 0, 0, false, {}}}};
  } else {
    stage.kind = dsp::RigModel{path, {}, store_.rack.rate_mode(), {}, true};
  }
  add_stage(std::move(stage), place);
}

void ChainEditor::add_now(std::shared_ptr<const FurtherStage> stage, int place) {
  std::string wrong = stage->problem();
  if (wrong.empty()) {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    int number = 0;
    while (std::ranges::find(store_.stages, number, &StagePlace::number) != store_.stages.end()) ++number;
    if (number < dsp::kFurtherStages) {
      forgotten = edit_stages(true, [&](StageList& stages) {
        const int at = std::clamp(place, 0, int(stages.size()));
        stages.insert(stages.begin() + at, {number, std::move(stage)});
      });
      store_.parameters.set_chain({{stage_id(number, "on"), 1.0f}, {stage_id(number, "mix"), 100.0f}});
    } else {
      wrong = "the plugin has room for " + std::to_string(dsp::kFurtherStages) + " stages besides the usual three";
    }
  }
  if (!wrong.empty()) store_.set_error(store_.active(), wrong);
  player_.follow();
  announcer_.tell_of_change(By::player);
}

void ChainEditor::remove_stage(int number) {
  change_stages(true, [number](StageList& stages) {
    std::erase_if(stages, [&](const StagePlace& place) { return place.further && place.number == number; });
  });
}

void ChainEditor::move_stage(int number, int place) {
  change_stages(true, [number, place](StageList& stages) {
    const auto from = std::ranges::find(stages, number, &StagePlace::number);
    if (from == stages.end()) return;
    StagePlace moved = std::move(*from);
    stages.erase(from);
    stages.insert(stages.begin() + std::clamp(place, 0, int(stages.size())), std::move(moved));
  });
}

void ChainEditor::edit_stage(int number, const dsp::RigStage& settings, bool is_step) {
  change_stages(is_step, [&](StageList& stages) {
    const auto found = std::ranges::find(stages, number, &StagePlace::number);
    if (found != stages.end() && found->further) found->further = with_settings(*found->further, settings);
  });
}

void ChainEditor::change_stages(bool is_step, const std::function<void(StageList&)>& edit) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    forgotten = edit_stages(is_step, edit);
  }
  background_.post(this, [this] {
    player_.follow();
    announcer_.tell_of_change(By::player);
  });
  announcer_.tell_of_change(By::player);
}

History::Sessions ChainEditor::edit_stages(bool is_step, const std::function<void(StageList&)>& edit) {
  ++store_.stage_edits;
  ++store_.stages_version;
  return undo_.edit(store_.stages, &Session::stages, edit, is_step);
}

}  // namespace coil::plugin
