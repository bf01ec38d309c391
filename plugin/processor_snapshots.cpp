// Snapshots and MIDI of the processor: what the user stores and teaches, and what the audio thread has recalled.
#include <algorithm>
#include <utility>

#include "plugin/processor.h"

namespace coil::plugin {

// ---------------------------------------------------------------- snapshots

Snapshot Processor::current_snapshot() const {
  Session now = current_session();
  Snapshot snapshot;
  snapshot.slot = active_slot_;
  snapshot.chain = std::move(now.chain);
  std::erase_if(snapshot.chain, [](const auto& item) { return !is_of_snapshot(item.first); });
  snapshot.controls = std::move(now.slots[size_t(active_slot_)].controls);
  for (size_t i = 0; i < snapshot.microphones.size(); ++i)
    snapshot.microphones[i] = cabinet_.content.microphones[i].settings;
  return snapshot;
}

SnapshotStatus Processor::snapshots() const {
  const std::lock_guard lock(mutex_);
  SnapshotStatus status;
  for (size_t i = 0; i < status.filled.size(); ++i) status.filled[i] = bank_.all[i].has_value();
  status.recalled = bank_.recalled;
  status.edited = status.recalled > 0 && bank_.all[size_t(status.recalled - 1)] != current_snapshot();
  return status;
}

void Processor::use_snapshots(const SnapshotBank& bank) {
  bank_ = bank;
  recalled_ = bank.recalled;
  juce::RangedAudioParameter& parameter = *parameters_.snapshot;
  parameter.setValue(parameter.convertTo0to1(float(bank.recalled)));
}

void Processor::fill_snapshot_table() {
  std::array<const ssm::Model*, dsp::kSlots> models{};
  for (size_t i = 0; i < models.size(); ++i)
    if (slots_[i].content.loaded) models[i] = slots_[i].content.loaded->model.get();
  snapshot_table_.fill(bank_, models);
}

void Processor::edit_snapshots(const std::function<void(SnapshotBank&)>& edit) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(mutex_);
    SnapshotBank bank = bank_;
    edit(bank);
    if (bank == bank_) return;
    forgotten = history_.changing(last_session());
    if (going_to_) going_to_->snapshots = bank;
    const juce::SpinLock::ScopedLockType still(controls_lock_);
    use_snapshots(bank);
    fill_snapshot_table();
  }
  tell_of_change(By::player);
}

void Processor::store_snapshot(int number) {
  edit_snapshots([&](SnapshotBank& bank) {
    bank.all[size_t(number - 1)] = current_snapshot();
    bank.recalled = number;
  });
}

void Processor::clear_snapshot(int number) {
  edit_snapshots([&](SnapshotBank& bank) {
    bank.all[size_t(number - 1)].reset();
    if (bank.recalled == number) bank.recalled = 0;
  });
}

void Processor::recall_snapshot(int number) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(mutex_);
    if (!bank_.all[size_t(number - 1)]) return;
    forgotten = history_.changing(last_session());
  }
  auto& parameter = *parameters_.snapshot;
  if (parameter.getIndex() == number) recalled_ = 0;  // the same letter takes back what was changed since
  edited_ = true;
  parameter.beginChangeGesture();
  parameter.setValueNotifyingHost(parameter.convertTo0to1(float(number)));
  parameter.endChangeGesture();
  follow_snapshot(Wait::yes);
  finish_recall();
}

void Processor::follow_snapshot(Wait wait) noexcept {
  const int wanted = parameters_.snapshot->getIndex();
  if (wanted == recalled_) return;
  if (wait == Wait::yes) {
    controls_lock_.enter();
  } else if (!controls_lock_.tryEnter()) {
    return;  // in the next block
  }
  recalled_ = wanted;
  if (const auto recalled = snapshot_table_.recall(wanted, active_controls_.slot, rack_.settings())) {
    active_controls_.detached = recalled->moved_slot;
    unfinished_recall_ = true;
  }
  controls_lock_.exit();
}

void Processor::finish_recall() {
  if (!unfinished_recall_.exchange(false)) return;
  bool moved_cabinet = false;
  {
    const std::lock_guard lock(mutex_);
    const int number = recalled_;
    if (number < 1 || !bank_.all[size_t(number - 1)]) return;
    const Snapshot& snapshot = *bank_.all[size_t(number - 1)];
    bank_.recalled = number;
    if (snapshot.slot != active_slot_) {
      ++switches_;
      const juce::SpinLock::ScopedLockType still(controls_lock_);
      keep_controls();
      active_slot_ = snapshot.slot;
      for (const auto& [name, value] : snapshot.controls) slots_[size_t(active_slot_)].content.controls[name] = value;
      show_controls();
    }
    for (size_t i = 0; i < snapshot.microphones.size(); ++i)
      moved_cabinet |= cabinet_.content.microphones[i].settings != snapshot.microphones[i];
    if (moved_cabinet)
      edit_cabinet(false, [&](CabinetContent& cabinet) {
        for (size_t i = 0; i < snapshot.microphones.size(); ++i)
          cabinet.microphones[i].settings = snapshot.microphones[i];
      });
  }
  if (moved_cabinet) background_->post(this, [this] { play_chain(); });
  tell_of_change(By::host);
}

// ---------------------------------------------------------------- MIDI

void Processor::edit_midi(const std::function<void(MidiSetup&)>& edit) {
  {
    History::Sessions forgotten;
    const std::lock_guard lock(mutex_);
    MidiSetup setup = midi_setup_;
    edit(setup);
    if (setup == midi_setup_) return;
    forgotten = history_.changing(last_session());
    if (going_to_) going_to_->midi = setup;
    midi_setup_ = std::move(setup);
    midi_.use(midi_setup_);
  }
  tell_of_change(By::player);
}

void Processor::learn_midi(const std::string& target) {
  midi_.learn(target);
  sendChangeMessage();
}

void Processor::stop_learning_midi() {
  midi_.stop_learning();
  sendChangeMessage();
}

void Processor::forget_midi(const std::string& target) {
  edit_midi([&](MidiSetup& setup) { setup.unlink(target); });
}

void Processor::set_midi_programs(MidiPrograms programs) {
  edit_midi([&](MidiSetup& setup) { setup.programs = programs; });
}

MidiSetup Processor::midi_setup() const {
  const std::lock_guard lock(mutex_);
  return midi_setup_;
}

void Processor::tick_midi() {
  if (const auto learned = midi_.take_learned())
    edit_midi([&](MidiSetup& setup) { setup.link(learned->source, learned->target); });
  moved_.tell(getParameters());
  const int program = midi_.take_program();
  if (program < 0) return;
  std::vector<LibraryEntry> entries = library_->entries();
  if (midi_setup().programs == MidiPrograms::presets)
    std::erase_if(entries, [](const LibraryEntry& entry) { return !entry.is_preset; });
  if (size_t(program) < entries.size()) load_file(active_slot(), entries[size_t(program)].file);
}

}  // namespace coil::plugin
