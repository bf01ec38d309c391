// Tables of targets, one entry for each controller and note.
#include "plugin/midi_map.h"

#include <algorithm>

namespace coil::plugin {

namespace {

constexpr int kHighestController = 119;  // higher ones are channel mode messages
constexpr const char* kSnapshotPrefix = "snapshot_";

std::string id_of(const juce::AudioProcessorParameter& parameter) {
  const auto* named = dynamic_cast<const juce::AudioProcessorParameterWithID*>(&parameter);
  return named ? named->paramID.toStdString() : std::string();
}

}  // namespace

juce::String to_text(const MidiSource& source) {
  return (source.kind == MidiSource::Kind::controller ? "CC " : "note ") + juce::String(source.number);
}

void MidiSetup::link(const MidiSource& source, const std::string& target) {
  unlink(target);
  std::erase_if(links, [&](const MidiLink& each) { return each.source == source; });
  links.push_back({source, target});
}

void MidiSetup::unlink(const std::string& target) {
  std::erase_if(links, [&](const MidiLink& each) { return each.target == target; });
}

std::optional<MidiSource> MidiSetup::source_of(const std::string& target) const {
  const auto found = std::ranges::find(links, target, &MidiLink::target);
  return found == links.end() ? std::nullopt : std::optional(found->source);
}

MidiMap::MidiMap(const juce::Array<juce::AudioProcessorParameter*>& parameters, juce::RangedAudioParameter& snapshot,
                 int snapshots, MovedParameters& moved)
    : parameters_(parameters), snapshot_(snapshot), snapshots_(snapshots), moved_(moved) {
  for (auto& target : targets_) target = kNone;
}

int MidiMap::target_of(const std::string& name) const {
  for (int i = 0; i < snapshots_; ++i)
    if (name == name_of(parameters_.size() + i)) return parameters_.size() + i;
  for (int i = 0; i < parameters_.size(); ++i)
    if (id_of(*parameters_[i]) == name) return i;
  return kNone;
}

std::string MidiMap::name_of(int target) const {
  if (target < parameters_.size()) return id_of(*parameters_[target]);
  return kSnapshotPrefix + std::string(1, char('a' + target - parameters_.size()));
}

bool MidiMap::takes_notes(int target) const noexcept {
  return target >= parameters_.size() || parameters_.getUnchecked(target)->isBoolean();
}

void MidiMap::use(const MidiSetup& setup) {
  std::array<int, 2 * kNumbers> wanted;
  wanted.fill(kNone);
  for (const MidiLink& link : setup.links)
    if (link.source.number >= 0 && link.source.number < kNumbers)
      wanted[size_t(link.source.number + (link.source.kind == MidiSource::Kind::note ? kNumbers : 0))] =
          target_of(link.target);
  programs_recall_ = setup.programs == MidiPrograms::snapshots;
  for (size_t i = 0; i < targets_.size(); ++i) targets_[i].store(wanted[i], std::memory_order_relaxed);
}

void MidiMap::learn(const std::string& target) {
  heard_ = kNone;
  learns_ = target_of(target);
}

void MidiMap::stop_learning() { learns_ = kNone; }

std::string MidiMap::learns() const {
  const int target = learns_;
  return target == kNone ? std::string() : name_of(target);
}

std::optional<MidiLink> MidiMap::take_learned() {
  const int at = heard_.exchange(kNone);
  if (at == kNone) return std::nullopt;
  const int target = learns_.exchange(kNone);
  if (target == kNone) return std::nullopt;
  const bool note = at >= kNumbers;
  return MidiLink{{note ? MidiSource::Kind::note : MidiSource::Kind::controller, at % kNumbers}, name_of(target)};
}

void MidiMap::hear(const juce::MidiBuffer& midi) noexcept {
  for (const auto event : midi) {
    const auto* const data = event.data;
    if (event.numBytes == 2 && (data[0] & 0xf0) == 0xc0) {
      if (!programs_recall_)
        program_ = data[1];
      else if (data[1] < snapshots_)
        recall(1 + data[1]);
    }
    if (event.numBytes != 3) continue;
    const int kind = data[0] & 0xf0;
    if (kind == 0xb0 && data[1] <= kHighestController)
      hear({MidiSource::Kind::controller, data[1]}, data[2]);
    else if (kind == 0x90 && data[2] > 0)
      hear({MidiSource::Kind::note, data[1]}, data[2]);
  }
}

void MidiMap::recall(int number) noexcept { moved_.set(snapshot_, snapshot_.convertTo0to1(float(number))); }

void MidiMap::hear(MidiSource source, int value) noexcept {
  const bool note = source.kind == MidiSource::Kind::note;
  const int at = source.number + (note ? kNumbers : 0);
  if (const int wanted = learns_; wanted != kNone && heard_ == kNone) {
    if (!note || takes_notes(wanted)) heard_ = at;
    return;
  }
  const int target = targets_[size_t(at)].load(std::memory_order_relaxed);
  if (target == kNone) return;
  constexpr int kOn = 64, kMost = 127;
  if (target >= parameters_.size()) {
    if (!note && value < kOn) return;  // the release of a foot switch
    return recall(1 + target - parameters_.size());
  }
  juce::AudioProcessorParameter& parameter = *parameters_.getUnchecked(target);
  const bool is_switch = parameter.isBoolean();
  const float now = parameter.getValue();
  moved_.set(parameter, note        ? (now < 0.5f ? 1.0f : 0.0f)
                        : is_switch ? (value >= kOn ? 1.0f : 0.0f)
                                    : float(value) / float(kMost));
}

}  // namespace coil::plugin
