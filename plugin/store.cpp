// Store: what the window sees, sessions, and the way between parameters and the active slot's controls.
#include "plugin/store.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "plugin/text.h"

namespace coil::plugin {

namespace {

using Kind = StageStatus::Kind;

// One for each kind of a rig's stage: without it, a further kind does not compile.
Kind kind_of(const dsp::RigGain&) { return Kind::gain; }
Kind kind_of(const dsp::RigGate&) { return Kind::gate; }
Kind kind_of(const dsp::RigModel&) { return Kind::model; }
Kind kind_of(const dsp::RigCabinet&) { return Kind::cabinet; }
Kind kind_of(const dsp::EqualiserSettings&) { return Kind::equaliser; }
Kind kind_of(const dsp::DoublerSettings&) { return Kind::doubler; }

Kind kind_of(const StagePlace& place) {
  if (place.number == dsp::kModelsStage) return Kind::model;
  if (place.number == dsp::kTailStage) return Kind::cabinet;
  if (place.number == dsp::kEqualiserStage) return Kind::equaliser;
  return std::visit([](const auto& stage) { return kind_of(stage); }, place.further->rig.kind);
}

// A stage that has only its type's name is called by what it plays.
std::string name_of(const FurtherStage& stage) {
  const std::string& name = stage.rig.name;
  if (stage.is_model() && name == "model" && stage.model.loaded) return stage.model.loaded->name;
  if (stage.is_cabinet() && name == "cabinet") return stage.cabinet.microphones[0].name;
  return name;
}

}  // namespace

Store::Store(const juce::AudioProcessor& processor, Parameters& parameters, dsp::Rack& rack)
    : processor(processor), parameters(parameters), rack(rack) {
  for (const auto* parameter : processor.getParameters()) placed_values.push_back(parameter->getValue());
}

// -- for the window

int Store::active() const {
  const std::lock_guard lock(mutex);
  return active_slot;
}

SlotStatus Store::status(int slot) const {
  const std::lock_guard lock(mutex);
  const Slot& from = slots[size_t(slot)];
  SlotStatus status;
  const bool loads = from.loading_file != juce::File();
  status.kind = loads ? SlotStatus::Kind::loading : from.kind;
  status.message = from_utf8(from.message);
  status.load_error = from_utf8(from.load_error);
  const bool is_preset = !from.content.preset.empty();
  const juce::String path = from_utf8(is_preset ? from.content.preset : from.content.path);
  status.file = loads ? from.loading_file : juce::File::isAbsolutePath(path) ? juce::File(path) : juce::File();
  status.name = loads || is_preset ? status.file.getFileNameWithoutExtension() : from_utf8(from.content.name);
  return status;
}

MicrophoneStatus Store::microphone(int microphone) const {
  const size_t at = size_t(microphone);
  const std::lock_guard lock(mutex);
  const MicrophoneContent& content = cabinet.content.microphones[at];
  MicrophoneStatus status;
  using Kind = MicrophoneStatus::Kind;
  const bool loads = cabinet.loading_files[at] != juce::File();
  status.kind = loads               ? Kind::loading
                : content.response  ? Kind::playing
                : content.missing() ? Kind::missing
                                    : Kind::empty;
  status.message = from_utf8(content.remark);
  status.load_error = from_utf8(cabinet.load_errors[at]);
  const juce::String path = from_utf8(content.path);
  status.file = loads ? cabinet.loading_files[at] : juce::File::isAbsolutePath(path) ? juce::File(path) : juce::File();
  status.name = loads ? status.file.getFileNameWithoutExtension() : from_utf8(content.name);
  status.settings = content.settings;
  status.response = content.response;
  return status;
}

std::vector<StageStatus> Store::stage_list() const {
  std::vector<StageStatus> all;
  const std::lock_guard lock(mutex);
  for (const StagePlace& place : stages) {
    StageStatus status{place.number, kind_of(place), {}, {}};
    if (place.further) {
      status.name = from_utf8(name_of(*place.further));
      status.message = from_utf8(place.further->problem());
      if (status.message.isEmpty()) status.message = from_utf8(rack.stage_problem(place.number));
    }
    all.push_back(std::move(status));
  }
  return all;
}

std::shared_ptr<const FurtherStage> Store::further_stage_at(int number) const {
  const std::lock_guard lock(mutex);
  const auto found = std::ranges::find(stages, number, &StagePlace::number);
  return found == stages.end() ? nullptr : found->further;
}

SnapshotStatus Store::snapshot_list() const {
  const std::lock_guard lock(mutex);
  SnapshotStatus status;
  for (size_t i = 0; i < status.filled.size(); ++i) status.filled[i] = bank.all[i].has_value();
  status.recalled = bank.recalled;
  status.edited = status.recalled > 0 && bank.all[size_t(status.recalled - 1)] != snapshot();
  return status;
}

juce::String Store::notice_text() const {
  const std::lock_guard lock(mutex);
  return from_utf8(notice);
}

void Store::dismiss_errors() {
  const std::lock_guard lock(mutex);
  for (Slot& slot : slots) slot.load_error.clear();
  for (std::string& error : cabinet.load_errors) error.clear();
  for (MicrophoneContent& each : cabinet.content.microphones)
    if (each.response) each.remark.clear();
  notice.clear();
}

void Store::set_response_error(int microphone, const std::string& error) {
  const std::lock_guard lock(mutex);
  cabinet.load_errors[size_t(microphone)] = error;
}

void Store::set_error(int slot, const std::string& error) {
  const std::lock_guard lock(mutex);
  slots[size_t(slot)].load_error = error;
}

// -- with the mutex

Session Store::session() const {
  Session session;
  for (size_t i = 0; i < slots.size(); ++i) session.slots[i] = slots[i].content;
  session.active_slot = active_slot;
  session.chain = parameters.chain();
  session.rate_mode = rack.rate_mode();
  session.cabinet = cabinet.content;
  session.stages = stages;
  session.snapshots = bank;
  session.midi = midi;
  for (const auto* control : parameters.controls)
    if (const auto meaning = control->meaning())
      session.slots[size_t(active_slot)].controls[meaning->name] = control->value_in_units();
  return session;
}

Snapshot Store::snapshot() const {
  Session now = session();
  Snapshot snapshot;
  snapshot.slot = active_slot;
  snapshot.chain = std::move(now.chain);
  std::erase_if(snapshot.chain, [](const auto& item) { return !is_of_snapshot(item.first); });
  snapshot.controls = std::move(now.slots[size_t(active_slot)].controls);
  for (size_t i = 0; i < snapshot.microphones.size(); ++i)
    snapshot.microphones[i] = cabinet.content.microphones[i].settings;
  return snapshot;
}

void Store::activate(int slot, const std::map<std::string, float>& controls) {
  ++switches;
  const juce::SpinLock::ScopedLockType still(controls_lock);
  keep_controls();
  active_slot = slot;
  for (const auto& [name, value] : controls) slots[size_t(slot)].content.controls[name] = value;
  show_controls();
}

void Store::keep_controls() { slots[size_t(active_slot)].content = session().slots[size_t(active_slot)]; }

void Store::show_controls(const std::function<bool(const juce::AudioProcessorParameter&)>& stays) {
  const Slot& slot = slots[size_t(active_slot)];
  const std::vector<float> values = control_values(slot.content);
  ActiveControls next;
  next.slot = active_slot;
  next.count = int(std::min(values.size(), parameters.controls.size()));
  for (size_t i = 0; i < parameters.controls.size(); ++i) {
    ControlParameter& parameter = *parameters.controls[i];
    const float before = parameter.getValue();
    const bool keeps = stays && stays(parameter);
    float value = 0;
    if (i < size_t(next.count)) {
      const ssm::Control& control = slot.content.loaded->model->card().controls[i];
      next.min[i] = control.min;
      next.range[i] = control.max - control.min;
      parameter.set_meaning(control);
      value = parameter.normalised(values[i]);
    } else {
      parameter.set_meaning(std::nullopt);
    }
    if (keeps) continue;
    parameter.move(before, value);
    placed_values[size_t(parameter.getParameterIndex())] = value;
  }
  active_controls = next;
  rack.settings().active_slot = active_slot;
}

uint64_t Store::next_request(int slot) {
  Slot& to = slots[size_t(slot)];
  to.loading_file = to.asked_file = juce::File();
  return to.request = ++requests;
}

void Store::drop_loading_responses() {
  for (size_t i = 0; i < cabinet.requests.size(); ++i) {
    if (cabinet.loading_files[i] == juce::File()) continue;
    cabinet.requests[i] = ++requests;
    cabinet.loading_files[i] = juce::File();
  }
}

void Store::follow_bank() {
  recalled = bank.recalled;
  juce::RangedAudioParameter& parameter = *parameters.snapshot;
  parameter.setValue(parameter.convertTo0to1(float(bank.recalled)));
}

void Store::fill_snapshot_table() {
  std::array<const ssm::Model*, dsp::kSlots> models{};
  for (size_t i = 0; i < models.size(); ++i)
    if (slots[i].content.loaded) models[i] = slots[i].content.loaded->model.get();
  snapshot_table.fill(bank, models);
}

bool Store::loads() const {
  const auto is_file = [](const juce::File& file) { return file != juce::File(); };
  return std::ranges::any_of(cabinet.loading_files, is_file) ||
         std::ranges::any_of(slots, is_file, &Slot::loading_file);
}

void Store::was_loaded() {
  unread_state.reset();
  notice.clear();
}

// -- the audio thread

void Store::copy_controls() noexcept {
  const juce::SpinLock::ScopedTryLockType still(controls_lock);
  if (!still.isLocked() || active_controls.detached) return;  // they are about to change their meaning
  const ActiveControls& active = active_controls;
  for (size_t i = 0; i < size_t(active.count); ++i)
    rack.settings().controls[size_t(active.slot)][i] =
        float(active.min[i] + double(parameters.controls[i]->getValue()) * active.range[i]);
}

}  // namespace coil::plugin
