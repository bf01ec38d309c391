// All waiting values of a series form one stretch of time: its model state is read and written once.
#include "sensor/engine/scorer.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace coil::sensor {
namespace {

constexpr size_t kStepsOfBlock = 128;     // small enough for their outputs to stay in the cache until they are used
constexpr size_t kStepsAhead = 4;         // prefetch the memory of a series this many steps ahead
constexpr double kLeastGapError = 0.25;   // relative to a usual step: the smallest error of a forecast over a gap
constexpr double kLeastStepsToWatch = 3;  // of a gap: after a shorter one the running means go on
constexpr double kLeastToWatch = 1;       // surprisal of the first value after a gap: below it the level is as expected

Expected expected_of(const QuantileForecast& forecast) {
  return forecast.exists() ? Expected{true, forecast.median(), forecast.low(), forecast.high()} : Expected();
}

}  // namespace

Scorer::Scorer(const EngineOptions& options, Counters& counters)
    : options_(options), counters_(counters), horizon_rows_(options.horizons) {
  outputs_.resize(kStepsOfBlock * horizon_rows_.width());
}

void Scorer::run(Schedule& schedule, ssm::StreamBatch& batch) {
  schedule_ = &schedule, batch_ = &batch;
  ahead_.resize(schedule.values.size() * options_.horizons.size());
  for (Series* series : schedule.waiting) {
    for (size_t i = series->first_waiting; i != PendingValue::kNone; i = schedule.values[i].next) {
      for (int missing = 0; missing < schedule.values[i].missing_steps; ++missing) add_step(i, false);
      add_step(i, true);
    }
    series->first_waiting = series->last_waiting = PendingValue::kNone;
  }
  run_block();
  schedule.waiting.clear();
}

// The model's input does not depend on its output, so the frames of a block can be prepared before it runs.
void Scorer::add_step(size_t index, bool is_last) {
  if (steps_.size() == kStepsOfBlock) run_block();
  const PendingValue& value = schedule_->values[index];
  const ValueResult& result = schedule_->results[index];
  Normaliser& normaliser = value.series->memory.normaliser;
  const LastSeen before = LastSeen::of(normaliser);
  const Frame frame = !is_last            ? normaliser.miss()
                      : result.is_missing ? normaliser.miss(value.interval)
                                          : normaliser.observe(result.value, value.interval);
  if (advances_.empty() || advances_.back().stream != value.series->slot) advances_.push_back({value.series->slot, 0});
  ++advances_.back().frames;
  frames_.insert(frames_.end(), frame.begin(), frame.end());
  steps_.push_back({index, is_last, before, normaliser});
}

void Scorer::run_block() {
  const size_t width = horizon_rows_.width();
  const std::span<float> outputs(outputs_.data(), steps_.size() * width);
  batch_->process(advances_, frames_, outputs);
  const auto series = [&](size_t step) { return schedule_->values[steps_[step].value].series; };
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (const size_t ahead = i + kStepsAhead; ahead < steps_.size() && series(ahead) != series(ahead - 1)) {
      series(ahead)->memory.forecasts.prefetch();
      fetch_ahead(&series(ahead)->memory.detector, sizeof(Detector));
      series(ahead)->memory.recent.prefetch();
    }
    finish_step(steps_[i], outputs.subspan(i * width, width));
  }
  steps_.clear();
  advances_.clear();
  frames_.clear();
}

// A value after a gap is compared with the forecast for its time. If the missing records may be a clock change, it may
// also match the forecast for the number of records that arrived.
void Scorer::judge(PendingValue& value, ValueResult& result, const LastSeen& before) {
  SeriesMemory& memory = value.series->memory;
  const QuantileForecast& next = memory.forecasts.due(0);
  result.expected = expected_of(value.series->bounds.fitted(next));
  Return comes_back{value.gap.steps, 0};
  if (value.gap.steps > 0) {
    const double least_error = kLeastGapError * before.usual_step;
    const GapForecast by_now = memory.recent.forecast(value.gap.steps, least_error);
    if (by_now.exists()) result.expected = expected_of(memory.bounds.widened(by_now, value.gap.steps));
    if (by_now.exists() && !result.is_missing) {
      comes_back.surprisal = by_now.surprisal(result.value);
      if (static_cast<double>(value.gap.records) < value.gap.steps) {
        const GapForecast clock_set = memory.recent.forecast(static_cast<double>(value.gap.records), least_error);
        comes_back.surprisal = std::min(comes_back.surprisal, clock_set.surprisal(result.value));
      }
    }
  }
  if (value.gap.steps > 0) value.series->ahead.forget_pending();
  if (result.is_missing) return;
  if (value.gap.steps == 0) value.series->bounds.see(next, result.value, 1);
  if (value.gap.steps == 0 && result.expected.exists) memory.bounds.see(result.expected.high - result.expected.low);
  memory.recent.add(result.value, value.gap.steps);
  value.series->ahead.see(result.value, memory.recent);
  AfterGap& after = value.series->after_gap;
  if (value.gap.steps > 0) {
    const bool is_watched = value.gap.steps >= kLeastStepsToWatch && comes_back.surprisal >= kLeastToWatch;
    after = {value.gap.steps, value.gap.records, is_watched ? 1 : 0};
  } else if (after.values > 0) {
    ++after.values;
    comes_back.surprisal = surprisal_of_level(memory.recent, after, kLeastGapError * before.usual_step);
    if (after.values == RecentValues::kMostInMean) after.values = 0;
  }
  LastSeen last = before;
  if (result.value == before.value) last.standstill = memory.recent.surprisal_of_standstill();
  const Occasion occasion{value.time_ns == kNoTime ? nullptr : &value.series->calendar, value.time_ns};
  value.assessment = memory.detector.observe(result.value, memory.forecasts, last, comes_back, occasion);
}

// Of the mean of all values since the last gap.
double Scorer::surprisal_of_level(RecentValues& recent, const AfterGap& after, double least_error) {
  const auto count = static_cast<size_t>(after.values);
  const double surprisal = recent.surprisal_of_mean(after.steps, count, least_error);
  if (static_cast<double>(after.records) >= after.steps || surprisal < kLeastToWatch) return surprisal;
  return std::min(surprisal, recent.surprisal_of_mean(static_cast<double>(after.records), count, least_error));
}

void Scorer::finish_step(const ModelStep& step, std::span<const float> outputs) {
  PendingValue& value = schedule_->values[step.value];
  SeriesMemory& memory = value.series->memory;
  if (step.is_last) {
    if (value.forget) memory.forecasts.forget(), value.series->ahead.forget_pending();
    judge(value, schedule_->results[step.value], step.before);
  }
  if (step.normaliser.observed() == 0) return;
  memory.forecasts.advance(step.normaliser, outputs, horizon_rows_);
  CalibratedHorizons& calibrated = value.series->ahead;
  calibrated.use(options_.horizons);
  const bool has_value = step.is_last && !schedule_->results[step.value].is_missing;
  for (size_t i = 0; i < options_.horizons.size(); ++i) {
    const QuantileForecast fitted =
        calibrated.add(i, QuantileForecast::of(step.normaliser, horizon_rows_.row(outputs, options_.horizons[i])),
                       has_value ? &memory.recent : nullptr);
    if (step.is_last) ahead_[step.value * options_.horizons.size() + i] = expected_of(fitted);
  }
  calibrated.next_step();
}

Episode Scorer::advance_episode(SensorMemory& memory, bool is_anomalous, bool lasts) {
  if (!memory.in_episode && !is_anomalous) return Episode::kNone;
  const Episode episode = memory.in_episode ? Episode::kOn : Episode::kBegin;
  counters_.episodes += !memory.in_episode;
  memory.quiet_records = is_anomalous || lasts ? 0 : memory.quiet_records + 1;
  memory.in_episode = memory.quiet_records < std::max(1, options_.hold_off_records);
  return memory.in_episode ? episode : Episode::kEnd;
}

Episode Scorer::end_episode(SensorMemory& memory) {
  memory.quiet_records = 0;
  return std::exchange(memory.in_episode, false) ? Episode::kEnd : Episode::kNone;
}

// What people call too low or too high needs no evidence, and stays an anomaly as long as it lasts.
bool Scorer::apply_limits(const SensorSettings& settings, ValueResult& value) {
  const SensorSettings::Limits* limits = value.is_missing ? nullptr : settings.limits_of(value.name);
  if (!limits) return false;
  const bool is_up = limits->is_above(value.value);
  if (!is_up && !limits->is_below(value.value)) return false;
  value.score = 1;
  value.why = {Explanation::Kind::kLimit, is_up};
  return true;
}

// The value that does not go with the others, if it is one of this record; else null.
ValueResult* Scorer::find_broken(const PendingRecord& record, std::span<ValueResult> values) {
  if (record.relation.key != record.selection.key) return nullptr;
  const auto found = std::find_if(values.begin(), values.end(),
                                  [&](const ValueResult& value) { return value.name == record.relation.name; });
  return found == values.end() ? nullptr : &*found;
}

// The verdict on the values together.
Group::Verdict Scorer::relate(PendingRecord& record, std::span<ValueResult> values) {
  if (!record.group) return {};
  const std::string& key = record.selection.key;
  bool all_missing = true;
  for (const ValueResult& value : values) {
    record.group->see(key, value.name, value.is_missing ? NAN : value.value);
    all_missing = all_missing && value.is_missing;
  }
  Group::Verdict verdict = record.group->judge(key);
  if (all_missing) return {};
  record.relation = std::move(verdict.relation);
  if (ValueResult* const value = verdict.event > 0 ? find_broken(record, values) : nullptr)
    value->score = std::max(value->score, score_of(verdict.event));
  return verdict;
}

// The most unusual value, or the one whose relation to others is broken.
void Scorer::find_cause(PendingRecord& record, std::span<ValueResult> values, bool is_relation) {
  Result& result = record.result;
  result.cause =
      &*std::max_element(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.score < b.score; });
  if (!is_relation) return;
  result.relation = &record.relation;
  if (const ValueResult* const broken = find_broken(record, values)) result.cause = broken;
}

// In the order of the records: computes the score over all values, and the episode.
void Scorer::conclude(PendingRecord& record, Schedule& schedule) {
  using Fate = PendingRecord::Fate;
  Result& result = record.result;
  result = {
      .message = record.message, .record = &record.record, .selection = &record.selection, .added_names = record.names};
  if (record.fate == Fate::kUnscored) {
    record.selection.values.clear();
    result.status = record.lacks_value() ? Status::kMissing : Status::kUnscored;
    return;
  }
  const SensorSettings* settings = result.settings = record.sensor->settings;
  result.usual_s = settings && settings->interval_s ? *settings->interval_s : record.arriving.usual_s;
  result.is_scored = record.fate == Fate::kScored;
  double event = 0, evidence = 0;
  bool all_missing = true, all_warming_up = true, is_beyond = false;
  for (size_t i = record.first_value; result.is_scored && i < record.first_value + record.values; ++i) {
    const Assessment& assessment = schedule.values[i].assessment;
    ValueResult& value = schedule.results[i];
    event = std::max(event, assessment.event);
    evidence = std::max(evidence, assessment.evidence);
    if (!value.is_missing) all_missing = false, all_warming_up = all_warming_up && assessment.warming_up;
    value.score = score_of(assessment.event);
    value.why = assessment.why;
    is_beyond |= settings && apply_limits(*settings, value);
    result.comes_back = result.comes_back || (!value.is_missing && schedule.values[i].gap.steps > 0);
    value.ahead = std::span(ahead_).subspan(i * options_.horizons.size(), options_.horizons.size());
  }
  result.values = std::span(schedule.results).subspan(record.first_value, record.values);
  if (!result.is_scored) {
    result.status = record.fate == Fate::kLate ? Status::kLate : Status::kFuture;
    return;
  }
  // Correction for n values: the most unusual of n is less unusual.
  const double of_many = record.values > 1 ? std::log10(static_cast<double>(record.values)) : 0,
               threshold = settings ? settings->threshold.value_or(options_.threshold) : options_.threshold;
  const std::optional<int64_t>& time_ns = record.selection.time_ns;
  const bool in_maintenance = settings && time_ns && settings->is_in_maintenance(*time_ns);
  const std::span<ValueResult> values = std::span(schedule.results).subspan(record.first_value, record.values);
  const Group::Verdict together = relate(record, values);
  const double alone = event - of_many;
  result.score = is_beyond ? 1 : score_of(std::max(alone, together.event));
  const bool is_anomalous = is_beyond || (result.score >= threshold && !in_maintenance),
             lasts = score_of(std::max(evidence - of_many, together.evidence)) >= threshold;
  counters_.anomalies += is_anomalous;
  if (is_anomalous) find_cause(record, values, !is_beyond && together.event > alone);
  result.has_score = !all_missing;
  result.episode =
      in_maintenance ? end_episode(record.sensor->memory) : advance_episode(record.sensor->memory, is_anomalous, lasts);
  result.status = in_maintenance                 ? Status::kMaintenance
                  : all_missing                  ? Status::kMissing
                  : all_warming_up && !is_beyond ? Status::kWarmup
                  : is_anomalous                 ? Status::kAnomaly
                                                 : Status::kOk;
}

}  // namespace coil::sensor
