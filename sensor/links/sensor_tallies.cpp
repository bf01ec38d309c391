// Statistics per sensor; one look-up per result.
#include "sensor/links/sensor_tallies.h"

#include <algorithm>

namespace coil::sensor {

// Null if it would be one sensor too many.
SensorTally* SensorTallies::find(std::string_view key) {
  const auto [place, is_new] = places_.try_emplace(std::string(key), tallies_.size());
  if (is_new) {
    if (most_ > 0 && tallies_.size() == most_) {
      places_.erase(place);
      return nullptr;
    }
    tallies_.emplace_back().name = readable_key(key);
  }
  return &tallies_[place->second];
}

void SensorTallies::begin(SensorTally& tally, std::optional<int64_t> time_ns, std::string cause, bool is_silence) {
  ++tally.episodes;
  if (tally.last_episodes.size() == SensorTally::kEpisodes) tally.last_episodes.pop_front();
  tally.last_episodes.push_back({time_ns, {}, tally.records, 0, std::move(cause), is_silence});
}

// Null if its begin was forgotten.
SensorTally::Episode* SensorTallies::end(SensorTally& tally, std::optional<int64_t> time_ns, bool is_silence) {
  const auto open = std::find_if(
      tally.last_episodes.rbegin(), tally.last_episodes.rend(),
      [&](const SensorTally::Episode& episode) { return episode.is_silence == is_silence && episode.end_record == 0; });
  if (open == tally.last_episodes.rend()) return nullptr;
  open->end_ns = time_ns;
  open->end_record = std::max<uint64_t>(tally.records, 1);
  return &*open;
}

void SensorTallies::write(const Result& result) {
  const std::lock_guard lock(mutex_);
  SensorTally* const found = find(result.key());
  left_out_ += !found;
  if (!found) return;
  SensorTally& tally = *found;
  if (result.settings && tally.display_name != result.settings->name) tally.display_name = result.settings->name;
  const std::optional<int64_t>& time_ns = result.selection->time_ns;
  ++tally.records;
  tally.scored += result.has_score;
  tally.missing += result.status == Status::kMissing;
  tally.gaps += result.comes_back;
  tally.anomalies += result.cause != nullptr;
  if (result.has_score) tally.score = result.score;
  if (time_ns && result.is_scored) {
    tally.first_ns = std::min(tally.first_ns.value_or(*time_ns), *time_ns);
    tally.last_ns = std::max(tally.last_ns.value_or(*time_ns), *time_ns);
  }
  tally.in_episode = result.episode == Episode::kBegin || result.episode == Episode::kOn;
  if (result.episode == Episode::kBegin) begin(tally, time_ns, cause_of(result), false);
  if (result.episode == Episode::kEnd) end(tally, time_ns, false);
}

void SensorTallies::note(const Silence& silence) {
  const std::lock_guard lock(mutex_);
  SensorTally* const tally = find(silence.key);
  if (!tally) return;
  tally->is_silent = !silence.has_ended;
  if (silence.has_ended) {
    if (SensorTally::Episode* const episode = end(*tally, silence.time_ns, true)) episode->cause = cause_of(silence);
    return;
  }
  ++tally->silences;
  begin(*tally, silence.time_ns, cause_of(silence), true);
}

void SensorTallies::visit(const std::function<void(const SensorTally&)>& see) const {
  const std::lock_guard lock(mutex_);
  for (const SensorTally& tally : tallies_) see(tally);
}

uint64_t SensorTallies::left_out() const {
  const std::lock_guard lock(mutex_);
  return left_out_;
}

}  // namespace coil::sensor
