// Loading: files and undo, then what the host sets.
#include "plugin/loading.h"

#include <algorithm>
#include <utility>

#include "plugin/preset.h"
#include "plugin/text.h"

namespace coil::plugin {

namespace {

// Loads the files that the session names.
void resolve(Session& session, ModelLibrary& library) {
  for (SlotContent& slot : session.slots) plugin::resolve(slot, library);
  if (session.cabinet) plugin::resolve(*session.cabinet);
  plugin::resolve(session.stages, library);
}

// Loads a preset into the slot. Returns its warnings in one line: what does not play as the preset says.
std::string read_preset(const juce::File& file, int slot, ModelLibrary& library, Change& change) {
  Preset preset = preset_from_bytes(ModelLibrary::read(file), path_of(file) + ": the preset");
  Session& session = preset.session;
  locate(session, file.getParentDirectory(), library);
  resolve(session, library);
  SlotContent& content = change.slots[size_t(slot)].emplace(std::move(session.slots[0]));
  if (!content.missing.empty()) throw Error(path_of(file) + ": " + content.missing);
  content.name = content.loaded->name;
  content.preset = path_of(file);
  change.chain = std::move(session.chain);
  change.chain.erase("input_dbu");  // the interface stays the user's
  change.cabinet = std::move(session.cabinet);
  change.stages = std::move(session.stages);
  change.snapshots = std::move(session.snapshots);
  for (auto& snapshot : change.snapshots->all)
    if (snapshot) snapshot->slot = slot;
  if (session.rate_mode != dsp::RateMode::model_default) change.rate_mode = session.rate_mode;
  std::string remark;
  const auto add = [&](const std::string& warning) {
    remark += (remark.empty() ? path_of(file) + ": " : "; ") + warning;
  };
  for (const std::string& warning : preset.warnings) add(warning);
  for (const StagePlace& place : *change.stages)
    if (place.further && !place.further->problem().empty()) add(place.further->problem());
  return remark;
}

}  // namespace

uint64_t Loading::load_file(int slot, const juce::File& file, Keep keep) {
  Change change;
  uint64_t request = 0;
  {
    const std::lock_guard lock(store_.mutex);
    change = changes_.asked();
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
    if (changes_.superseded(change, at)) return;
  }
  const uint64_t request = change.requests[at];
  std::string refused, remark;
  std::string wrong = problem_of(file, [&] {
    if (file.hasFileExtension(kPresetExtension)) {
      remark = read_preset(file, slot, library_, change);
    } else {
      change.slots[at] = slot_with(library_.load(file), path_of(file));
    }
    refused = changes_.carry_out(change, Changes::Refuse::model_that_does_not_play);
  });
  if (wrong.empty()) wrong = refused;
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
    change = changes_.asked();
    change.requests[size_t(slot)] = store_.next_request(slot);
  }
  change.slots[size_t(slot)] = SlotContent{};
  changes_.carry_out(change);
  announcer_.tell_of_change(By::player);
}

void Loading::copy_to_other_slot() {
  Change change;
  {
    const std::lock_guard lock(store_.mutex);
    change = changes_.asked();
    const size_t to = size_t(1 - store_.active_slot);
    change.requests[to] = store_.next_request(int(to));
    change.slots[to] = store_.session().slots[size_t(store_.active_slot)];
  }
  background_.post(this, [this, change = std::move(change)]() mutable {
    changes_.carry_out(change);
    announcer_.tell_of_change(By::player);
  });
}

void Loading::set_active_slot(int slot) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    if (slot == store_.active_slot) return;
    forgotten = undo_.edit(store_.active_slot, &Session::active_slot, [&](int&) { store_.activate(slot); });
  }
  announcer_.tell_of_change(By::player);
}

void Loading::set_rate_mode(dsp::RateMode mode) {
  background_.post(this, [this, mode] {
    Change change;
    {
      const std::lock_guard lock(store_.mutex);
      if (store_.rack.rate_mode() == mode) return;
      change = changes_.asked();
    }
    change.rate_mode = mode;
    changes_.carry_out(change);
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
  Change change = changes_.asked();
  change.become(std::move(session));
  change.goes_on = true;
  change.can_be_undone = false;
  background_.post(this, [this, step, change = std::move(change)]() mutable {
    changes_.carry_out(change);
    {
      std::optional<Session> reached;
      const std::lock_guard lock(store_.mutex);
      reached = undo_.end(step);
    }
    announcer_.tell_of_change(By::player);
  });
}

// -- of the host

void Loading::follow_spec(double sample_rate_hz, const std::string& problem) {
  Change change;
  {
    const std::lock_guard lock(store_.mutex);
    store_.sample_rate_hz = problem.empty() ? sample_rate_hz : 0;
    if (!problem.empty()) store_.notice = problem;
    change = changes_.asked();
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
  changes_.carry_out(change);
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
      change = changes_.asked();
      dropped = undo_.forget_target();
      for (int slot = 0; slot < dsp::kSlots; ++slot) change.requests[size_t(slot)] = store_.next_request(slot);
      store_.drop_loading_responses();
    }
    if (!session.cabinet) session.cabinet.emplace();
    resolve(session, library_);
    store_.parameters.complete(session.chain);
    change.become(std::move(session));
    change.goes_on = change.reads_session = true;
    change.can_be_undone = false;
    changes_.carry_out(change);
  } catch (const Error& error) {
    juce::MemoryBlock unread(bytes.data(), bytes.size());
    const std::lock_guard lock(store_.mutex);
    store_.unread_state.swapWith(unread);
    store_.notice = error.what();
  }
  announcer_.tell_of_change(By::host);
}

}  // namespace coil::plugin
