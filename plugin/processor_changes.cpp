// Changes of the processor's slots: requested, prepared without a lock, committed at once.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plugin/preset.h"
#include "plugin/processor.h"

namespace coil::plugin {

namespace {

std::string path_of(const juce::File& file) { return file.getFullPathName().toStdString(); }

// A preset into the change; returns what of it plays otherwise than it says, in one line.
std::string read_preset(const juce::File& file, ModelLibrary& library, SlotContent& slot,
                        std::map<std::string, float>& chain, std::optional<CabinetContent>& cabinet, StageList& stages,
                        std::optional<dsp::RateMode>& rate_mode, std::optional<SnapshotBank>& snapshots) {
  Preset preset = preset_from_bytes(ModelLibrary::read(file), path_of(file) + ": the preset");
  locate(preset.session, file.getParentDirectory(), library);
  slot = std::move(preset.session.slots[0]);
  resolve(slot, library);
  if (!slot.missing.empty()) throw Error(path_of(file) + ": " + slot.missing);
  slot.name = slot.loaded->name;
  slot.preset = path_of(file);
  chain = std::move(preset.session.chain);
  chain.erase("input_dbu");  // the interface stays the user's
  cabinet = std::move(preset.session.cabinet);
  if (cabinet) resolve(*cabinet);
  stages = std::move(preset.session.stages);
  resolve(stages, library);
  snapshots = std::move(preset.session.snapshots);
  if (preset.session.rate_mode != dsp::RateMode::model_default) rate_mode = preset.session.rate_mode;
  std::string remark;
  const auto add = [&](const std::string& warning) {
    remark += (remark.empty() ? path_of(file) + ": " : "; ") + warning;
  };
  for (const std::string& warning : preset.warnings) add(warning);
  for (const StagePlace& place : stages)
    if (place.further && !place.further->problem().empty()) add(place.further->problem());
  return remark;
}

}  // namespace

// ---------------------------------------------------------------- asking

void Processor::load_file(int slot, const juce::File& file) {
  bool auditions = false;
  {
    const std::lock_guard lock(mutex_);
    auditions = audition_ && audition_->slot == slot;
  }
  if (auditions && auditioned() != file) audition(file);
  keep_audition();  // one undo step for all that was heard
  if (!auditions) request_load(slot, file, Keep::at_once);
}

uint64_t Processor::request_load(int slot, const juce::File& file, Keep keep) {
  Change change;
  uint64_t request = 0;
  {
    const std::lock_guard lock(mutex_);
    change = asked();
    change.can_be_undone = keep == Keep::at_once;
    Slot& to = slots_[size_t(slot)];
    change.requests[size_t(slot)] = request = next_request(slot);
    to.loading_file = to.asked_file = change.asked_file = file;
    to.load_error.clear();
  }
  sendChangeMessage();
  background_->post(this, [this, slot, file, change = std::move(change)] { load_now(slot, file, change); });
  return request;
}

void Processor::load_now(int slot, const juce::File& file, Change change) {
  const size_t at = size_t(slot);
  {
    const std::lock_guard lock(mutex_);
    if (superseded(change, at)) return;
  }
  const uint64_t request = change.requests[at];
  std::string wrong, remark;
  try {
    if (file.hasFileExtension(kPresetExtension)) {
      remark = read_preset(file, *library_, change.slots[at].emplace(), change.chain, change.cabinet,
                           change.stages.emplace(), change.rate_mode, change.snapshots);
      for (auto& snapshot : change.snapshots->all)
        if (snapshot) snapshot->slot = slot;
    } else {
      change.slots[at] = slot_with(library_->load(file), path_of(file));
    }
    wrong = carry_out(change, Refuse::model_that_does_not_play);
  } catch (const Error& error) {
    wrong = error.what();
  } catch (const std::exception& error) {
    wrong = path_of(file) + ": " + error.what();
  }
  if (!wrong.empty()) {
    const std::lock_guard lock(mutex_);
    if (slots_[at].request != request) return;
    slots_[at].loading_file = juce::File();
    slots_[at].load_error = wrong;
  } else if (change.slots[at] && change.can_be_undone) {
    library_->note_recent(file);
  }
  if (wrong.empty() && !remark.empty()) {
    const std::lock_guard lock(mutex_);
    if (slots_[at].request == request) slots_[at].load_error = remark;
  }
  tell_of_change(By::player);
}

void Processor::clear(int slot) {
  Change change;
  {
    const std::lock_guard lock(mutex_);
    change = asked();
    change.requests[size_t(slot)] = next_request(slot);
  }
  change.slots[size_t(slot)] = SlotContent{};
  carry_out(change);
  tell_of_change(By::player);
}

void Processor::copy_to_other_slot() {
  Change change;
  {
    const std::lock_guard lock(mutex_);
    change = asked();
    const size_t to = size_t(1 - active_slot_);
    change.requests[to] = next_request(int(to));
    change.slots[to] = current_session().slots[size_t(active_slot_)];
  }
  background_->post(this, [this, change = std::move(change)]() mutable {
    carry_out(change);
    tell_of_change(By::player);
  });
}

void Processor::set_rate_mode(dsp::RateMode mode) {
  background_->post(this, [this, mode] {
    Change change;
    {
      const std::lock_guard lock(mutex_);
      if (rack_.rate_mode() == mode) return;
      change = asked();
    }
    change.rate_mode = mode;
    carry_out(change);
    tell_of_change(By::player);
  });
}

void Processor::undo() {
  if (auditioned() != juce::File()) return cancel_audition();
  {
    const std::lock_guard lock(mutex_);
    uint64_t latest = 0;
    for (const Slot& slot : slots_)
      if (slot.loading_file != juce::File()) latest = std::max(latest, slot.request);
    for (size_t i = 0; i < cabinet_.requests.size(); ++i)
      if (cabinet_.loading_files[i] != juce::File()) latest = std::max(latest, cabinet_.requests[i]);
    if (latest == 0) return go_back_or_on(true);
    for (size_t i = 0; i < slots_.size(); ++i)
      if (slots_[i].request == latest) next_request(int(i));
    if (std::ranges::find(cabinet_.requests, latest) != cabinet_.requests.end()) drop_loading_responses();
  }
  sendChangeMessage();
}

void Processor::redo() {
  keep_audition();
  const std::lock_guard lock(mutex_);
  go_back_or_on(false);
}

void Processor::go_back_or_on(bool back) {
  std::optional<Session> session = back ? history_.undo(last_session()) : history_.redo(last_session());
  if (session) go_to(std::move(*session));
}

void Processor::go_to(Session session) {
  going_to_ = session;
  Change change = asked();
  for (size_t i = 0; i < session.slots.size(); ++i) change.slots[i] = std::move(session.slots[i]);
  change.active_slot = session.active_slot;
  change.rate_mode = session.rate_mode;
  change.chain = std::move(session.chain);
  change.cabinet = std::move(session.cabinet);
  change.stages = std::move(session.stages);
  change.snapshots = std::move(session.snapshots);
  change.midi = std::move(session.midi);
  change.goes_on = true;
  change.can_be_undone = false;
  background_->post(this, [this, step = ++steps_, change = std::move(change)]() mutable {
    carry_out(change);
    {
      std::optional<Session> reached;
      const std::lock_guard lock(mutex_);
      if (step == steps_) going_to_.swap(reached);
    }
    tell_of_change(By::player);
  });
}

Processor::Change Processor::asked() const {
  Change change;
  change.requests_then = requests_;
  change.sessions_then = sessions_;
  change.switches_then = switches_;
  change.edits_then = cabinet_.edits;
  change.stage_edits_then = stage_edits_;
  change.gestures_then = gestures_;
  for (const auto* parameter : getParameters()) change.values_then.push_back(parameter->getValue());
  return change;
}

uint64_t Processor::next_request(int slot) {
  Slot& to = slots_[size_t(slot)];
  to.loading_file = to.asked_file = juce::File();
  return to.request = ++requests_;
}

// ---------------------------------------------------------------- preparation, without a lock

std::string Processor::carry_out(Change& change, Refuse refuse) {
  for (;;) {
    Made made = make(change);
    if (refuse == Refuse::model_that_does_not_play)
      for (const std::string& problem : made.problems)
        if (!problem.empty()) return problem;
    {
      Forgotten forgotten;  // freed, like all other replaced objects, after the lock is released
      const std::lock_guard lock(mutex_);
      if (!commit(change, made, forgotten)) continue;
    }
    if (change.cabinet || change.stages) play_chain();
    return {};
  }
}

Processor::Made Processor::make(const Change& change) const {
  Made made;
  Session now;
  std::array<bool, dsp::kSlots> begins{};
  dsp::RateMode rate_mode;
  {
    const std::lock_guard lock(mutex_);
    now = current_session();
    rate_mode = change.rate_mode.value_or(now.rate_mode);
    const bool same_rates = rate_mode == now.rate_mode;
    for (size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      made.versions[i] = slot.version;
      if (change.slots[i]) {
        const bool plays = slot.kind == SlotStatus::Kind::playing && change.slots[i]->loaded == slot.content.loaded;
        begins[i] = !(change.goes_on && plays && same_rates);
        now.slots[i] = *change.slots[i];
      } else {
        begins[i] = slot.content.loaded && (change.anew[i] || !same_rates);
      }
    }
  }
  for (size_t i = 0; i < begins.size(); ++i) {
    if (!begins[i]) continue;
    const SlotContent& content = now.slots[i];
    try {
      made.slot_models[i] =
          rack_.make(content.loaded ? content.loaded->model : nullptr, control_values(content), rate_mode);
    } catch (const std::exception& error) {
      made.problems[i] = error.what();
      made.slot_models[i] = rack_.make(nullptr, {}, rate_mode);
    }
  }
  return made;
}

// ---------------------------------------------------------------- committing

bool Processor::superseded(const Change& change, size_t slot) const {
  if (change.requests[slot] != 0) return slots_[slot].request != change.requests[slot];
  return slots_[slot].committed > change.requests_then;
}

bool Processor::moved_since(const Change& change, const juce::AudioProcessorParameter& parameter) const {
  const size_t at = size_t(parameter.getParameterIndex());
  const float now = parameter.getValue();
  // A knob that the user turned was meant for the model that played at that time. A value that the host sets is meant
  // for any model.
  const bool by_player = gestures_[at] != change.gestures_then[at] && dynamic_cast<const ControlParameter*>(&parameter);
  return !by_player && now != change.values_then[at] && now != placed_values_[at];
}

bool Processor::commit(Change& change, Made& made, Forgotten& forgotten) {
  if (change.sessions_then != sessions_) change = {};
  bool stale = false;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const bool dropped = change.slots[i] && superseded(change, i);
    if (dropped) change.slots[i].reset();
    if (dropped && change.requests[i] != 0)
      change.cabinet.reset(), change.stages.reset(), change.snapshots.reset();  // a preset's
    const bool concerned = dropped || change.slots[i] || made.slot_models[i];
    stale |= concerned && (dropped || made.versions[i] != slots_[i].version);
  }
  if (change.cabinet && cabinet_.edits != change.edits_then) change.cabinet.reset();
  if (change.stages && stage_edits_ != change.stage_edits_then) change.stages.reset();
  if (change.is_void()) return true;
  if (stale) return false;

  Session before = current_session();
  const juce::SpinLock::ScopedLockType still(controls_lock_);
  const int was_active = active_slot_;
  const bool switches = change.active_slot && switches_ == change.switches_then;
  const size_t active = size_t(switches ? *change.active_slot : active_slot_);
  if (made.slot_models[active]) follow(change, *made.slot_models[active], bool(change.slots[active]));
  if (!rack_.commit(made.slot_models, change.rate_mode)) return false;

  if (change.can_be_undone) forgotten.sessions = history_.changing(std::move(before));
  if (change.reads_session) std::swap(forgotten.history, history_);
  if (int(active) != was_active && !change.slots[size_t(was_active)]) keep_controls();
  active_slot_ = int(active);
  for (size_t i = 0; i < slots_.size(); ++i) commit_slot(i, change, made);
  if (change.cabinet) {
    std::swap(cabinet_.content, *change.cabinet);
    ++cabinet_.version;
    for (std::string& error : cabinet_.load_errors) error.clear();
  }
  if (change.stages) {
    std::swap(stages_, *change.stages);
    ++stages_version_;
  }
  set_chain(change);
  if (change.snapshots) use_snapshots(*change.snapshots);
  fill_snapshot_table();
  if (change.midi) midi_.use(midi_setup_ = *change.midi);
  if (change.slots[active] || int(active) != was_active) show_controls(&change);
  return true;
}

void Processor::follow(const Change& change, dsp::Rack::Prepared& slot_model, bool is_new) const {
  if (!slot_model.model) return;
  const std::vector<ssm::Control>& controls = slot_model.model->card().controls;
  for (size_t i = 0; i < std::min(controls.size(), parameters_.controls.size()); ++i) {
    const ControlParameter& parameter = *parameters_.controls[i];
    if (is_new && !moved_since(change, parameter)) continue;
    slot_model.controls[i] =
        float(controls[i].min + double(parameter.getValue()) * (controls[i].max - controls[i].min));
  }
}

void Processor::commit_slot(size_t at, Change& change, const Made& made) {
  Slot& slot = slots_[at];
  if (change.slots[at]) {
    ++slot.version;
    std::swap(slot.content, *change.slots[at]);
    if (change.requests[at] != 0) {
      slot.committed = change.requests[at];
      slot.loading_file = juce::File();
      slot.load_error.clear();
      unread_state_.reset();
      notice_.clear();
    }
    if (slot.loading_file == juce::File()) slot.asked_file = change.asked_file;
  }
  if (made.slot_models[at]) {
    using Kind = SlotStatus::Kind;
    const SlotContent& content = slot.content;
    const std::string& problem = made.problems[at];
    slot.message = problem.empty() ? content.missing : problem;
    slot.kind = !problem.empty()  ? Kind::failed
                : content.loaded  ? Kind::playing
                : content.empty() ? Kind::empty
                                  : Kind::missing;
  } else if (change.slots[at]) {  // continues with other values
    const std::vector<float> values = control_values(slot.content);
    auto& controls = rack_.settings().controls[at];
    for (size_t i = 0; i < std::min(values.size(), controls.size()); ++i) controls[i] = values[i];
  }
}

void Processor::set_chain(const Change& change) {
  std::map<std::string, float> values = change.chain;
  const auto each = [&](auto&& function) {
    for (auto* parameter : getParameters())
      if (const auto* named = dynamic_cast<const juce::AudioProcessorParameterWithID*>(parameter))
        if (const auto it = values.find(named->getParameterID().toStdString()); it != values.end())
          function(*parameter, it);
  };
  each([&](const juce::AudioProcessorParameter& parameter, auto it) {
    if (moved_since(change, parameter)) values.erase(it);
  });
  parameters_.set_chain(values);
  each([&](const juce::AudioProcessorParameter& parameter, auto) {
    placed_values_[size_t(parameter.getParameterIndex())] = parameter.getValue();
  });
}

}  // namespace coil::plugin
