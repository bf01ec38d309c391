// Changes: preparation without a lock, then commitment at once.
#include "plugin/changes.h"

#include <algorithm>
#include <utility>

namespace coil::plugin {

void Change::become(Session session) {
  for (size_t i = 0; i < session.slots.size(); ++i) slots[i] = std::move(session.slots[i]);
  active_slot = session.active_slot;
  rate_mode = session.rate_mode;
  chain = std::move(session.chain);
  cabinet = std::move(session.cabinet);
  stages = std::move(session.stages);
  snapshots = std::move(session.snapshots);
  midi = std::move(session.midi);
}

bool Change::is_void() const {
  return !slots[0] && !slots[1] && !active_slot && !rate_mode && !anew[0] && !anew[1] && !cabinet && !stages &&
         !snapshots;
}

Change Changes::asked() const {
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

// -- preparation

std::string Changes::carry_out(Change& change, Refuse refuse) {
  for (;;) {
    Made made = make(change);
    if (refuse == Refuse::model_that_does_not_play)
      for (const std::string& problem : made.problems)
        if (!problem.empty()) return problem;
    {
      Forgotten forgotten;  // freed, like all other replaced objects, after the lock is released
      const std::lock_guard lock(store_.mutex);
      if (!commit(change, made, forgotten)) continue;
    }
    if (change.cabinet || change.stages) player_.follow();
    return {};
  }
}

Changes::Made Changes::make(const Change& change) const {
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

// -- commitment

bool Changes::superseded(const Change& change, size_t slot) const {
  if (change.requests[slot] != 0) return store_.slots[slot].request != change.requests[slot];
  return store_.slots[slot].committed > change.requests_then;
}

bool Changes::moved_since(const Change& change, const juce::AudioProcessorParameter& parameter) const {
  const size_t at = size_t(parameter.getParameterIndex());
  const float now = parameter.getValue();
  // A knob that the user turned was meant for the model that played at that time. A value that the host sets is meant
  // for any model.
  const bool by_player =
      undo_.gestures()[at] != change.gestures_then[at] && dynamic_cast<const ControlParameter*>(&parameter);
  return !by_player && now != change.values_then[at] && now != store_.placed_values[at];
}

// Drops the parts of the change that are older than the store's content. Returns whether the remaining parts were
// prepared for a different content.
bool Changes::drop_outdated(Change& change, const Made& made) const {
  if (change.sessions_then != store_.sessions) change = {};
  bool stale = false;
  for (size_t i = 0; i < store_.slots.size(); ++i) {
    const bool dropped = change.slots[i] && superseded(change, i);
    if (dropped) change.slots[i].reset();
    if (dropped && change.requests[i] != 0) {  // a preset's
      change.cabinet.reset();
      change.stages.reset();
      change.snapshots.reset();
    }
    const bool concerned = dropped || change.slots[i] || made.slot_models[i];
    stale |= concerned && (dropped || made.versions[i] != store_.slots[i].version);
  }
  if (change.cabinet && store_.cabinet.edits != change.edits_then) change.cabinet.reset();
  if (change.stages && store_.stage_edits != change.stage_edits_then) change.stages.reset();
  return stale;
}

bool Changes::commit(Change& change, Made& made, Forgotten& forgotten) {
  const bool stale = drop_outdated(change, made);
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
  commit_chain(change);
  set_values(change);
  if (change.snapshots) {
    store_.bank = *change.snapshots;
    store_.follow_bank();
  }
  store_.fill_snapshot_table();
  if (change.midi) store_.midi_map.use(store_.midi = *change.midi);
  if (change.slots[active] || int(active) != was_active)
    store_.show_controls([&](const auto& parameter) { return moved_since(change, parameter); });
  return true;
}

void Changes::follow(const Change& change, dsp::Rack::Prepared& slot_model, bool is_new) const {
  if (!slot_model.model) return;
  const std::vector<ssm::Control>& controls = slot_model.model->card().controls;
  for (size_t i = 0; i < std::min(controls.size(), store_.parameters.controls.size()); ++i) {
    const ControlParameter& parameter = *store_.parameters.controls[i];
    if (is_new && !moved_since(change, parameter)) continue;
    slot_model.controls[i] =
        float(controls[i].min + double(parameter.getValue()) * (controls[i].max - controls[i].min));
  }
}

void Changes::commit_slot(size_t at, Change& change, const Made& made) {
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
  } else if (change.slots[at]) {  // the model plays on with other values
    const std::vector<float> values = control_values(slot.content);
    auto& controls = store_.rack.settings().controls[at];
    for (size_t i = 0; i < std::min(values.size(), controls.size()); ++i) controls[i] = values[i];
  }
}

void Changes::commit_chain(Change& change) {
  if (change.cabinet) {
    std::swap(store_.cabinet.content, *change.cabinet);
    ++store_.cabinet.version;
    for (std::string& error : store_.cabinet.load_errors) error.clear();
  }
  if (change.stages) {
    std::swap(store_.stages, *change.stages);
    ++store_.stages_version;
  }
}

void Changes::set_values(const Change& change) {
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

}  // namespace coil::plugin
