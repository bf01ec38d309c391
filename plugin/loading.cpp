// Loading: requests, their preparation without a lock, and their commitment at
// once.
#include "plugin/loading.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "plugin/preset.h"

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

uint64_t Loading::load_file(int slot, const juce::File& file, Keep keep) {
  Change change;
  uint64_t request = 0;
  {
    const std::lock_guard lock(store_.mutex);
    change = asked();
    change.can_be_undone = keep == Keep::at_once;
    Store::Slot& to = store_.slots[size_t(slot)];
    change.requests[size_t(slot)] = request = store_.next_request(slot);
    to.loading_file = to.asked_file = change.asked_file = file;
    to.load_error.clear();
  }
  announcer_.tell_window();
  background_.post(this, [this, slot, file, change = std::move(change)] { load_now(slot, file, change); });
  return request;
}

void Loading::load_now(int slot, const juce::File& file, Change change) {
  const size_t at = size_t(slot);
  {
    const std::lock_guard lock(store_.mutex);
    if (superseded(change, at)) return;
  }
  const uint64_t request = change.requests[at];
  std::string wrong, remark;
  try {
    if (file.hasFileExtension(kPresetExtension)) {
      remark = read_preset(file, library_, change.slots[at].emplace(), change.chain, change.cabinet,
                           change.stages.emplace(), change.rate_mode, change.snapshots);
      for (auto& snapshot : change.snapshots->all)
        if (snapshot) snapshot->slot = slot;
    } else {
      change.slots[at] = slot_with(library_.load(file), path_of(file));
    }
    wrong = carry_out(change, Refuse::model_that_does_not_play);
  } catch (const Error& error) {
    wrong = error.what();
  } catch (const std::exception& error) {
    wrong = path_of(file) + ": " + error.what();
  }
  if (!wrong.empty()) {
    const std::lock_guard lock(store_.mutex);
    if (store_.slots[at].request != request) return;
    store_.slots[at].loading_file = juce::File();
    store_.slots[at].load_error = wrong;
  } else if (change.slots[at] && change.can_be_undone) {
    library_.note_recent(file);
  }
  if (wrong.empty() && !remark.empty()) {
    const std::lock_guard lock(store_.mutex);
    if (store_.slots[at].request == request) store_.slots[at].load_error = remark;
  }
  announcer_.tell_of_change(By::player);
}

void Loading::clear(int slot) {
  Change change;
  {
    const std::lock_guard lock(store_.mutex);
    change = asked();
    change.requests[size_t(slot)] = store_.next_request(slot);
  }
  change.slots[size_t(slot)] = SlotContent{};
  carry_out(change);
  announcer_.tell_of_change(By::player);
}

void Loading::copy_to_other_slot() {
  Change change;
  {
    const std::lock_guard lock(store_.mutex);
    change = asked();
    const size_t to = size_t(1 - store_.active_slot);
    change.requests[to] = store_.next_request(int(to));
    change.slots[to] = store_.session().slots[size_t(store_.active_slot)];
  }
  background_.post(this, [this, change = std::move(change)]() mutable {
    carry_out(change);
    announcer_.tell_of_change(By::player);
  });
}

void Loading::set_active_slot(int slot) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    if (slot == store_.active_slot) return;
    forgotten = undo_.changing();
    if (Session* const target = undo_.target()) target->active_slot = slot;
    ++store_.switches;
    const juce::SpinLock::ScopedLockType still(store_.controls_lock);
    store_.keep_controls();
    store_.active_slot = slot;
    store_.show_controls();
  }
  announcer_.tell_of_change(By::player);
}

void Loading::set_rate_mode(dsp::RateMode mode) {
  background_.post(this, [this, mode] {
    Change change;
    {
      const std::lock_guard lock(store_.mutex);
      if (store_.rack.rate_mode() == mode) return;
      change = asked();
    }
    change.rate_mode = mode;
    carry_out(change);
    announcer_.tell_of_change(By::player);
  });
}

void Loading::undo() {
  {
    const std::lock_guard lock(store_.mutex);
    uint64_t latest = 0;
    for (const Store::Slot& slot : store_.slots)
      if (slot.loading_file != juce::File()) latest = std::max(latest, slot.request);
    for (size_t i = 0; i < store_.cabinet.requests.size(); ++i)
      if (store_.cabinet.loading_files[i] != juce::File()) latest = std::max(latest, store_.cabinet.requests[i]);
    if (latest == 0) return go_back_or_on(true);
    for (size_t i = 0; i < store_.slots.size(); ++i)
      if (store_.slots[i].request == latest) store_.next_request(int(i));
    if (std::ranges::find(store_.cabinet.requests, latest) != store_.cabinet.requests.end())
      store_.drop_loading_responses();
  }
  announcer_.tell_window();
}

void Loading::redo() {
  const std::lock_guard lock(store_.mutex);
  go_back_or_on(false);
}

void Loading::go_back_or_on(bool back) {
  std::optional<Session> session = back ? undo_.back() : undo_.on();
  if (session) go_to(std::move(*session));
}

void Loading::go_to(Session session) {
  const uint64_t step = undo_.begin(session);
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
  background_.post(this, [this, step, change = std::move(change)]() mutable {
    carry_out(change);
    {
      std::optional<Session> reached;
      const std::lock_guard lock(store_.mutex);
      reached = undo_.end(step);
    }
    announcer_.tell_of_change(By::player);
  });
}

Loading::Change Loading::asked() const {
  Change change;
  change.requests_then = store_.requests;
  change.sessions_then = store_.sessions;
  change.switches_then = store_.switches;
  change.edits_then = store_.cabinet.edits;
  change.stage_edits_then = store_.stage_edits;
  change.gestures_then = undo_.gestures();
  for (const auto* parameter : store_.processor.getParameters()) change.values_then.push_back(parameter->getValue());
  return change;
}

// ---------------------------------------------------------------- preparation,
// without a lock

std::string Loading::carry_out(Change& change, Refuse refuse) {
  for (;;) {
    Made made = make(change);
    if (refuse == Refuse::model_that_does_not_play)
      for (const std::string& problem : made.problems)
        if (!problem.empty()) return problem;
    {
      Forgotten forgotten;  // freed, like all other replaced objects, after the
                            // lock is released
      const std::lock_guard lock(store_.mutex);
      if (!commit(change, made, forgotten)) continue;
    }
    if (change.cabinet || change.stages) play_chain();
    return {};
  }
}

Loading::Made Loading::make(const Change& change) const {
  Made made;
  Session now;
  std::array<bool, dsp::kSlots> begins{};
  dsp::RateMode rate_mode;
  {
    const std::lock_guard lock(store_.mutex);
    now = store_.session();
    rate_mode = change.rate_mode.value_or(now.rate_mode);
    const bool same_rates = rate_mode == now.rate_mode;
    for (size_t i = 0; i < store_.slots.size(); ++i) {
      const Store::Slot& slot = store_.slots[i];
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
          store_.rack.make(content.loaded ? content.loaded->model : nullptr, control_values(content), rate_mode);
    } catch (const std::exception& error) {
      made.problems[i] = error.what();
      made.slot_models[i] = store_.rack.make(nullptr, {}, rate_mode);
    }
  }
  return made;
}

// ---------------------------------------------------------------- committing

bool Loading::superseded(const Change& change, size_t slot) const {
  if (change.requests[slot] != 0) return store_.slots[slot].request != change.requests[slot];
  return store_.slots[slot].committed > change.requests_then;
}

bool Loading::moved_since(const Change& change, const juce::AudioProcessorParameter& parameter) const {
  const size_t at = size_t(parameter.getParameterIndex());
  const float now = parameter.getValue();
  // A knob that the user turned was meant for the model that played at that time. A value that the host sets is meant
  // for any model.
  const bool by_player =
      undo_.gestures()[at] != change.gestures_then[at] && dynamic_cast<const ControlParameter*>(&parameter);
  return !by_player && now != change.values_then[at] && now != store_.placed_values[at];
}

bool Loading::commit(Change& change, Made& made, Forgotten& forgotten) {
  if (change.sessions_then != store_.sessions) change = {};
  bool stale = false;
  for (size_t i = 0; i < store_.slots.size(); ++i) {
    const bool dropped = change.slots[i] && superseded(change, i);
    if (dropped) change.slots[i].reset();
    if (dropped && change.requests[i] != 0)
      change.cabinet.reset(), change.stages.reset(),
          change.snapshots.reset();  // a preset's
    const bool concerned = dropped || change.slots[i] || made.slot_models[i];
    stale |= concerned && (dropped || made.versions[i] != store_.slots[i].version);
  }
  if (change.cabinet && store_.cabinet.edits != change.edits_then) change.cabinet.reset();
  if (change.stages && store_.stage_edits != change.stage_edits_then) change.stages.reset();
  if (change.is_void()) return true;
  if (stale) return false;

  Session before = store_.session();
  const juce::SpinLock::ScopedLockType still(store_.controls_lock);
  const int was_active = store_.active_slot;
  const bool switches = change.active_slot && store_.switches == change.switches_then;
  const size_t active = size_t(switches ? *change.active_slot : store_.active_slot);
  if (made.slot_models[active]) follow(change, *made.slot_models[active], bool(change.slots[active]));
  if (!store_.rack.commit(made.slot_models, change.rate_mode)) return false;

  if (change.can_be_undone) forgotten.sessions = undo_.changing(std::move(before));
  if (change.reads_session) undo_.swap(forgotten.history);
  if (int(active) != was_active && !change.slots[size_t(was_active)]) store_.keep_controls();
  store_.active_slot = int(active);
  for (size_t i = 0; i < store_.slots.size(); ++i) commit_slot(i, change, made);
  if (change.cabinet) {
    std::swap(store_.cabinet.content, *change.cabinet);
    ++store_.cabinet.version;
    for (std::string& error : store_.cabinet.load_errors) error.clear();
  }
  if (change.stages) {
    std::swap(store_.stages, *change.stages);
    ++store_.stages_version;
  }
  set_chain(change);
  if (change.snapshots) store_.use_snapshots(*change.snapshots);
  store_.fill_snapshot_table();
  if (change.midi) store_.midi_map.use(store_.midi = *change.midi);
  if (change.slots[active] || int(active) != was_active)
    store_.show_controls([&](const auto& parameter) { return moved_since(change, parameter); });
  return true;
}

void Loading::follow(const Change& change, dsp::Rack::Prepared& slot_model, bool is_new) const {
  if (!slot_model.model) return;
  const std::vector<ssm::Control>& controls = slot_model.model->card().controls;
  for (size_t i = 0; i < std::min(controls.size(), store_.parameters.controls.size()); ++i) {
    const ControlParameter& parameter = *store_.parameters.controls[i];
    if (is_new && !moved_since(change, parameter)) continue;
    slot_model.controls[i] =
        float(controls[i].min + double(parameter.getValue()) * (controls[i].max - controls[i].min));
  }
}

void Loading::commit_slot(size_t at, Change& change, const Made& made) {
  Store::Slot& slot = store_.slots[at];
  if (change.slots[at]) {
    ++slot.version;
    std::swap(slot.content, *change.slots[at]);
    if (change.requests[at] != 0) {
      slot.committed = change.requests[at];
      slot.loading_file = juce::File();
      slot.load_error.clear();
      store_.was_loaded();
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
    auto& controls = store_.rack.settings().controls[at];
    for (size_t i = 0; i < std::min(values.size(), controls.size()); ++i) controls[i] = values[i];
  }
}

void Loading::set_chain(const Change& change) {
  std::map<std::string, float> values = change.chain;
  const auto each = [&](auto&& function) {
    for (auto* parameter : store_.processor.getParameters())
      if (const auto* named = dynamic_cast<const juce::AudioProcessorParameterWithID*>(parameter))
        if (const auto it = values.find(named->getParameterID().toStdString()); it != values.end())
          function(*parameter, it);
  };
  each([&](const juce::AudioProcessorParameter& parameter, auto it) {
    if (moved_since(change, parameter)) values.erase(it);
  });
  store_.parameters.set_chain(values);
  each([&](const juce::AudioProcessorParameter& parameter, auto) {
    store_.placed_values[size_t(parameter.getParameterIndex())] = parameter.getValue();
  });
}

// ---------------------------------------------------------------- of the host

double Loading::tail_seconds() const {
  return further_seconds_ + (store_.parameters.cabinet_on->get() ? cabinet_seconds_.load() : 0);
}

void Loading::follow_spec(double sample_rate_hz, const std::string& problem) {
  Change change;
  {
    const std::lock_guard lock(store_.mutex);
    store_.sample_rate_hz = problem.empty() ? sample_rate_hz : 0;
    if (!problem.empty()) store_.notice = problem;
    change = asked();
    change.can_be_undone = false;
    // Slots that could not play at the previous spec may play now, and vice versa.
    for (size_t i = 0; i < store_.slots.size(); ++i) {
      Store::Slot& slot = store_.slots[i];
      if (!slot.content.loaded) continue;
      change.anew[i] = store_.rack.model(int(i)) != slot.content.loaded->model;
      slot.message = store_.rack.problem(int(i));
      slot.kind = slot.message.empty() ? SlotStatus::Kind::playing : SlotStatus::Kind::failed;
    }
  }
  carry_out(change);
}

// Takes effect before it returns, because a host may render at once.
void Loading::open(std::span<const std::byte> bytes) {
  try {
    Session session;
    if (is_rig(bytes)) {  // of a preset that a script made
      session = preset_from_bytes(bytes, "the preset").session;
      locate(session, library_.user_folder(), library_);
    } else {
      session = session_from_bytes(bytes);
    }
    Change change;
    std::optional<Session> dropped;
    {
      const std::lock_guard lock(store_.mutex);
      ++store_.sessions;
      change = asked();
      dropped = undo_.forget_target();
      for (int slot = 0; slot < dsp::kSlots; ++slot) change.requests[size_t(slot)] = store_.next_request(slot);
      store_.drop_loading_responses();
    }
    for (size_t i = 0; i < session.slots.size(); ++i) {
      resolve(session.slots[i], library_);
      change.slots[i] = std::move(session.slots[i]);
    }
    change.active_slot = session.active_slot;
    change.rate_mode = session.rate_mode;
    change.chain = std::move(session.chain);
    store_.parameters.complete(change.chain);
    change.cabinet = std::move(session.cabinet).value_or(CabinetContent{});
    change.snapshots = std::move(session.snapshots);
    change.midi = std::move(session.midi);
    resolve(*change.cabinet);
    change.stages = std::move(session.stages);
    resolve(*change.stages, library_);
    change.goes_on = change.reads_session = true;
    change.can_be_undone = false;
    carry_out(change);
  } catch (const Error& error) {
    juce::MemoryBlock unread(bytes.data(), bytes.size());
    const std::lock_guard lock(store_.mutex);
    store_.unread_state.swapWith(unread);
    store_.notice = error.what();
  }
  announcer_.tell_of_change(By::host);
}

}  // namespace coil::plugin
