// Snapshots by name, and as the numbers that the audio thread sets.
#include "plugin/snapshots.h"

#include <algorithm>

namespace coil::plugin {

bool SnapshotBank::empty() const {
  return std::ranges::none_of(all, [](const auto& each) { return each.has_value(); });
}

juce::String snapshot_letter(int number) { return juce::String::charToString(juce::juce_wchar('A' + number - 1)); }

bool is_of_snapshot(const std::string& parameter_id) {
  return parameter_id != "bypass" && parameter_id != "input_dbu" && parameter_id != "calibrated";
}

void SnapshotTable::fill(const SnapshotBank& bank, const std::array<const ssm::Model*, dsp::kSlots>& models) {
  for (size_t n = 0; n < entries_.size(); ++n) {
    Entry& entry = entries_[n];
    entry = {};
    if (!bank.all[n]) continue;
    const Snapshot& from = *bank.all[n];
    entry.filled = true;
    entry.slot = std::clamp(from.slot, 0, dsp::kSlots - 1);
    for (const auto& [parameter, value] : parameters_.normalised(from.chain))
      entry.values[size_t(entry.values_count++)] = {parameter, value};
    const ssm::Model* const model = models[size_t(entry.slot)];
    if (!model) continue;
    const std::vector<ssm::Control>& controls = model->card().controls;
    entry.controls_count = int(std::min(controls.size(), entry.controls.size()));
    for (size_t i = 0; i < size_t(entry.controls_count); ++i) {
      const auto it = from.controls.find(controls[i].name);
      if (it == from.controls.end()) continue;
      const float value = std::clamp(it->second, float(controls[i].min), float(controls[i].max));
      entry.controls[i] = {true, value, position_of(controls[i], value)};
    }
  }
}

std::optional<SnapshotTable::Recalled> SnapshotTable::recall(int number, int active_slot,
                                                             dsp::RackSettings& rack) const noexcept {
  if (number < 1 || number > kSnapshots || !entries_[size_t(number - 1)].filled) return std::nullopt;
  const Entry& entry = entries_[size_t(number - 1)];
  for (size_t i = 0; i < size_t(entry.values_count); ++i) moved_.set(*entry.values[i].parameter, entry.values[i].value);
  const bool other_slot = entry.slot != active_slot;
  for (size_t i = 0; i < size_t(entry.controls_count); ++i) {
    const Control& control = entry.controls[i];
    if (!control.there) continue;
    if (other_slot)
      rack.controls[size_t(entry.slot)][i] = control.value;
    else
      moved_.set(*parameters_.controls[i], control.normalised);
  }
  rack.active_slot = entry.slot;
  return Recalled{entry.slot, other_slot};
}

}  // namespace coil::plugin
