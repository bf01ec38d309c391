// Statistics per sensor; one look-up per result.
#include "sensor/links/sensor_tallies.h"

#include <algorithm>

namespace coil::sensor {

void SensorTallies::write(const Result& result) {
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = places_.try_emplace(std::string(result.key()), tallies_.size());
  if (is_new) {
    if (most_ > 0 && tallies_.size() == most_) {
      places_.erase(place);
      ++left_out_;
      return;
    }
    tallies_.emplace_back().name = readable_key(result.key());
  }
  SensorTally& tally = tallies_[place->second];
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
  if (result.episode == Episode::kBegin) {
    ++tally.episodes;
    if (tally.last_episodes.size() == SensorTally::kEpisodes) tally.last_episodes.pop_front();
    tally.last_episodes.push_back({time_ns, {}, tally.records, 0, cause_of(result)});
  } else if (result.episode == Episode::kEnd && !tally.last_episodes.empty()) {
    tally.last_episodes.back().end_ns = time_ns;
    tally.last_episodes.back().end_record = tally.records;
  }
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
