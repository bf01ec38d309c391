// Remote: what the user stores and teaches, and what the audio thread has recalled.
#include "plugin/remote.h"

#include <algorithm>
#include <utility>

namespace coil::plugin {

// -- snapshots

template <typename Part>
void Remote::edit(Part& held, Part Session::*part, auto&& change, auto&& use) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    Part next = held;
    change(next);
    if (next == held) return;
    forgotten = undo_.edit(held, part, [&](Part& now) { now = std::move(next); });
    use();
  }
  announcer_.tell_of_change(By::player);
}

void Remote::edit_snapshots(const std::function<void(SnapshotBank&)>& change) {
  edit(store_.bank, &Session::snapshots, change, [&] {
    const juce::SpinLock::ScopedLockType still(store_.controls_lock);
    store_.follow_bank();
    store_.fill_snapshot_table();
  });
}

void Remote::store_snapshot(int number) {
  edit_snapshots([&](SnapshotBank& bank) {
    bank.all[size_t(number - 1)] = store_.snapshot();
    bank.recalled = number;
  });
}

void Remote::clear_snapshot(int number) {
  edit_snapshots([&](SnapshotBank& bank) {
    bank.all[size_t(number - 1)].reset();
    if (bank.recalled == number) bank.recalled = 0;
  });
}

void Remote::recall_snapshot(int number) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(store_.mutex);
    if (!store_.bank.all[size_t(number - 1)]) return;
    forgotten = undo_.changing();
  }
  auto& parameter = *store_.parameters.snapshot;
  if (parameter.getIndex() == number) store_.recalled = 0;  // recalling it again undoes the changes since
  parameter.beginChangeGesture();
  parameter.setValueNotifyingHost(parameter.convertTo0to1(float(number)));
  parameter.endChangeGesture();
  follow_snapshot(Wait::yes);
  finish_recall();
  announcer_.tell_of_change(By::player);
}

void Remote::follow_snapshot(Wait wait) noexcept {
  const int wanted = store_.parameters.snapshot->getIndex();
  if (wanted == store_.recalled) return;
  if (wait == Wait::yes) {
    store_.controls_lock.enter();
  } else if (!store_.controls_lock.tryEnter()) {
    return;
  }
  store_.recalled = wanted;
  if (const auto recalled = store_.snapshot_table.recall(wanted, store_.active_controls.slot, store_.rack.settings())) {
    store_.active_controls.detached = recalled->moved_slot;
    unfinished_recall_ = true;
  }
  store_.controls_lock.exit();
}

void Remote::finish_recall() {
  if (!unfinished_recall_.exchange(false)) return;
  bool moved_cabinet = false;
  {
    const std::lock_guard lock(store_.mutex);
    const int number = store_.recalled;
    if (number < 1 || !store_.bank.all[size_t(number - 1)]) return;
    const Snapshot& snapshot = *store_.bank.all[size_t(number - 1)];
    store_.bank.recalled = number;
    if (snapshot.slot != store_.active_slot) store_.activate(snapshot.slot, snapshot.controls);
    moved_cabinet = chain_editor_.recall(snapshot.microphones);
  }
  if (moved_cabinet) chain_editor_.follow();
  announcer_.tell_of_change(By::host);
}

// -- MIDI

void Remote::edit_midi(const std::function<void(MidiSetup&)>& change) {
  edit(store_.midi, &Session::midi, change, [&] { store_.midi_map.use(store_.midi); });
}

void Remote::learn_midi(const std::string& target) {
  store_.midi_map.learn(target);
  announcer_.tell_window();
}

void Remote::stop_learning_midi() {
  store_.midi_map.stop_learning();
  announcer_.tell_window();
}

void Remote::forget_midi(const std::string& target) {
  edit_midi([&](MidiSetup& setup) { setup.unlink(target); });
}

void Remote::set_midi_programs(MidiPrograms programs) {
  edit_midi([&](MidiSetup& setup) { setup.programs = programs; });
}

MidiSetup Remote::midi_setup() const {
  const std::lock_guard lock(store_.mutex);
  return store_.midi;
}

void Remote::tick() {
  follow_snapshot(Wait::yes);
  finish_recall();
  if (const auto learned = store_.midi_map.take_learned())
    edit_midi([&](MidiSetup& setup) { setup.link(learned->source, learned->target); });
  store_.moved.tell(store_.processor.getParameters());
  const int program = store_.midi_map.take_program();
  if (program < 0) return;
  std::vector<LibraryEntry> entries = library_.entries();
  if (midi_setup().programs == MidiPrograms::presets)
    std::erase_if(entries, [](const LibraryEntry& entry) { return !entry.is_preset; });
  if (size_t(program) < entries.size()) audition_.load_file(store_.active(), entries[size_t(program)].file);
}

}  // namespace coil::plugin
