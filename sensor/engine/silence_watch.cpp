// Deadlines are not moved when a record comes. Each is checked when it passes, and queued again if the sensor is not
// silent.
#include "sensor/engine/silence_watch.h"

#include <algorithm>

#include "sensor/formats/timestamp.h"
#include "sensor/results/result.h"

namespace coil::sensor {
namespace {

constexpr double kLeastPatienceByClock_s = 10;  // the sender of the records may be delayed by this much
constexpr double kPauseOfBursts = 0.5;          // of the usual interval: shorter pauses are within a burst
constexpr double kLookAgain = 0.125;            // of its patience: when to check again if the sensor's own clock is not
                                                // yet late
constexpr double kShareOfPatience = 0.5;        // of its patience: the most that one record moves the stream's time

double seconds(SilenceWatch::Clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::optional<int64_t> later(int64_t time_ns, double by_s) {
  if (time_ns == kNoTime) return std::nullopt;
  return time_ns + static_cast<int64_t>(1e9 * std::min(by_s, 1e9));
}

}  // namespace

void SilenceWatch::use(std::shared_ptr<const AllSensorSettings> settings) {
  settings_ = std::move(settings);
  for (auto& [key, known] : known_) known.has_settings = false, known.settings = nullptr;
}

void SilenceWatch::find_settings(const std::string& key, Known& known) const {
  known.has_settings = true;
  known.settings = settings_ ? settings_->of(readable_key(key)) : nullptr;
}

double SilenceWatch::usual(const Known& known) {
  if (known.settings && known.settings->interval_s) return *known.settings->interval_s;
  return known.usual_s > 0 ? known.usual_s : known.by_clock.usual_s();
}

// If records come in bursts, the usual interval by the clock is that between bursts.
double SilenceWatch::patience_by_clock(const Known& known) const {
  if (known.settings && known.settings->interval_s) return patience(known);
  return std::max(kLeastPatienceByClock_s, times_ * std::max(usual(known), known.by_clock.usual_s()));
}

void SilenceWatch::queue(const std::string& key, Known& known) {
  if (known.is_queued || usual(known) <= 0) return;
  known.is_queued = true;
  by_stream_.emplace(known.stream_s + patience(known), key);
  by_clock_.emplace(known.clock_s + patience_by_clock(known), key);
}

void SilenceWatch::recall(const std::string& key, Partition* owner, const SilenceMark& mark, Clock::time_point now) {
  Known& known = known_[key];
  known = {};
  known.owner = owner;
  known.time_ns = mark.time_ns, known.usual_s = mark.usual_s, known.is_silent = mark.is_silent;
  known.stream_s = stream_s_ - mark.ago_s, known.clock_s = seconds(now);
  find_settings(key, known);
  queue(key, known);
}

bool SilenceWatch::is_noticed_in_maintenance(const Known& known, double silent_s) const {
  const std::optional<int64_t> time_ns = later(known.time_ns, silent_s);
  return known.settings && time_ns && known.settings->is_in_maintenance(*time_ns);
}

void SilenceWatch::begin(const std::string& key, Known& known, double silent_s, const Report& report) {
  known.is_silent = true;
  report({key, known.settings, false, silent_s, usual(known), later(known.time_ns, silent_s)}, known.owner);
}

// For a gap during which no other sensor moved the time, or a silence that was reported before.
void SilenceWatch::notice_gap(const std::string& key, Known& known, const Arriving& arriving, double clock_s,
                              const Report& report) {
  const double patience_s = patience(known);
  const bool is_long = patience_s > 0 && arriving.passed_s.value_or(0) > patience_s && !known.is_told;
  if (!known.is_silent && is_long && !is_noticed_in_maintenance(known, patience_s))
    begin(key, known, patience_s, report);
  known.is_told = known.is_told && !arriving.passed_s;
  if (!known.is_silent) return;
  known.is_told = !arriving.passed_s;
  known.is_silent = false;
  const double silent_s = arriving.passed_s.value_or(std::max(stream_s_ - known.stream_s, clock_s - known.clock_s));
  report({key, known.settings, true, silent_s, usual(known), arriving.time_ns}, known.owner);
}

void SilenceWatch::see(const std::string& key, Partition* owner, const Arriving& arriving, Clock::time_point now,
                       const Report& report) {
  Known& known = known_[key];
  const double clock_s = seconds(now);
  if (!known.has_settings) find_settings(key, known);
  if (known.clock_s > 0 && clock_s > known.clock_s && clock_s - known.clock_s > kPauseOfBursts * usual(known))
    known.by_clock.add(clock_s - known.clock_s);
  known.owner = owner;
  notice_gap(key, known, arriving, clock_s, report);
  if (arriving.passed_s) {
    const double most_s = usual(known) > 0 ? kShareOfPatience * patience(known) : *arriving.passed_s;
    stream_s_ = std::max(stream_s_, known.stream_s + std::min(*arriving.passed_s, most_s));
  }
  known.stream_s = stream_s_, known.clock_s = clock_s;
  if (arriving.time_ns) known.time_ns = *arriving.time_ns;
  if (arriving.usual_s > 0) known.usual_s = arriving.usual_s;
  queue(key, known);
  find(by_stream_, stream_s_, arriving.time_ns, false, report);
}

void SilenceWatch::hear(const std::string& key, Clock::time_point now) {
  if (const auto found = known_.find(key); found != known_.end()) found->second.clock_s = seconds(now);
}

void SilenceWatch::tick(Clock::time_point now, const Report& report) {
  find(by_clock_, seconds(now), std::nullopt, true, report);
}

// By the stream's time, a sensor counts as silent only if its own clock is also late relative to the current record.
// The files of several sensors may be read one after another.
void SilenceWatch::find(Deadlines& deadlines, double now, std::optional<int64_t> time_ns, bool by_clock,
                        const Report& report) {
  while (!deadlines.empty() && deadlines.top().first < now) {
    const std::string key = deadlines.top().second;
    deadlines.pop();
    const auto place = known_.find(key);
    if (place == known_.end()) continue;
    Known& known = place->second;
    if (!known.has_settings) find_settings(key, known);
    const double patience_s = by_clock ? patience_by_clock(known) : patience(known),
                 silent_s = now - (by_clock ? known.clock_s : known.stream_s),
                 behind_s = by_clock                              ? silent_s
                            : time_ns && known.time_ns != kNoTime ? seconds_between(known.time_ns, *time_ns)
                                                                  : 0;
    const bool is_late = silent_s > patience_s, is_behind = behind_s > patience_s;
    if (is_late && is_behind && !known.is_silent && !is_noticed_in_maintenance(known, silent_s))
      begin(key, known, std::min(silent_s, behind_s), report);
    const double again_s = !is_late ? patience_s - silent_s : is_behind ? patience_s : kLookAgain * patience_s;
    deadlines.emplace(now + again_s, key);
  }
}

SilenceMark SilenceWatch::mark(const std::string& key) const {
  const auto found = known_.find(key);
  if (found == known_.end()) return {};
  const Known& known = found->second;
  return {known.time_ns, known.usual_s > 0 ? known.usual_s : known.by_clock.usual_s(), stream_s_ - known.stream_s,
          known.is_silent};
}

void SilenceWatch::forget(const Partition* owner) {
  std::erase_if(known_, [&](const auto& entry) { return entry.second.owner == owner; });
}

}  // namespace coil::sensor
