// Decides what happens to each record. Late and future records are not steps of their series. Planned steps are scored
// in the order of times.
#include "sensor/engine/planner.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace coil::sensor {
namespace {

constexpr double kLongestInterval_s = 1e9;  // so that it fits into a count of nanoseconds

// Differences of larger values would overflow a double.
constexpr double kLargestValue = 1e150;
bool is_missing(const Value& value) { return value.is_missing || std::fabs(value.number) > kLargestValue; }

uint64_t hash_of(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }
const Series* find_series(const Sensor& sensor, std::string_view field) {
  const auto found = std::find_if(sensor.series.begin(), sensor.series.end(),
                                  [&](const auto& series) { return series->name == field; });
  return found == sensor.series.end() ? nullptr : found->get();
}

// Whether the field has had numbers.
bool knows_value(const Sensor& sensor, std::string_view field) {
  return find_series(sensor, field) || (sensor.interval && sensor.interval->knows(field));
}

// A hash of a record's values.
uint32_t fingerprint(const Selection& selection) {
  uint64_t hash = 0;
  for (const Value& value : selection.values) {
    if (value.certainty == Value::Certainty::kIfKnown)
      continue;  // whether this value counts depends on earlier
                 // records
    const double number = is_missing(value) ? HUGE_VAL : value.number;
    hash = XXH3_64bits_withSeed(&number, sizeof number, hash);
  }
  return static_cast<uint32_t>(hash);
}

}  // namespace

// Finds the sensor, and sorts the record by time if that is enabled.
void Planner::accept(Arrival& arrival, const Format& input) {
  PendingRecord& record = arrival.record;
  if (!has_value(record, arrival.file)) {
    record.fate = PendingRecord::Fate::kUnscored;
    schedule_.records.push_back(&record);
    return;
  }
  Sensor& sensor = sensors_.get(record.selection.key, arrival.file);
  record.sensor = &sensor;
  if (sensor.settings_are_of != options_.settings) find_settings(sensor, record.selection.key);
  if (options_.every.exist()) return collect(arrival, input);
  if (options_.reorder_records == 0 || !record.selection.time_ns) return plan(record);
  const int64_t time_ns = *record.selection.time_ns;
  const Clock& clock = sensor.memory.clock;
  if (clock.last_ns() != kNoTime && time_ns < clock.last_ns()) {
    const int64_t latest_ns = sensor.held.empty() ? clock.last_ns() : sensor.held.back().time_ns;
    if (clock.was_set_back(time_ns, latest_ns, fingerprint(record.selection), pace(sensor, record.selection)))
      release(arrival, 0, input);
    return plan(record);
  }
  const auto place = std::upper_bound(sensor.held.begin(), sensor.held.end(), time_ns,
                                      [](int64_t t, const Held& held) { return t < held.time_ns; });
  sensor.held.insert(place, Held{time_ns, *record.message});
  record.fate = PendingRecord::Fate::kHeld;
  release(arrival, size_t(options_.reorder_records), input);
}

void Planner::find_settings(Sensor& sensor, const std::string& key) {
  sensor.settings_are_of = options_.settings;
  const std::string name = readable_key(key);
  sensor.settings = options_.settings ? options_.settings->of(name) : nullptr;
  if (!sensor.settings) return;
  for (const auto& series : sensor.series) options_.settings->note_value(name, series->name);
}

// Releases the oldest of the sensor's waiting records until `left` remain.
void Planner::release(Arrival& arrival, size_t left, const Format& input) {
  Sensor& sensor = *arrival.record.sensor;
  while (sensor.held.size() > left) {
    arrival.released.push_back(take_held(sensor, input, arrival.record.names));
    plan(*arrival.released.back());
  }
}

std::unique_ptr<PendingRecord> Planner::take_held(Sensor& sensor, const Format& input, const AddedNames* names) {
  auto record = std::make_unique<PendingRecord>();
  record->own = std::move(sensor.held.front().message);
  record->message = &record->own;
  sensor.held.erase(sensor.held.begin());
  input.parse(record->own.text, record->record);
  record->unusable = schema_.select(record->record, record->own.topic, record->selection, record->what);
  record->sensor = &sensor;
  record->names = names;
  return record;
}

void Planner::release_all(std::vector<std::unique_ptr<PendingRecord>>& released, const Format& input,
                          const AddedNames& names) {
  sensors_.for_each([&](Sensor& sensor) {
    if (sensor.interval && sensor.interval->is_open()) close_interval(sensor, input, &names, released);
    while (!sensor.held.empty()) {
      released.push_back(take_held(sensor, input, &names));
      plan(*released.back());
    }
  });
}

// Whether the record holds a number, or lacks one that its sensor had before.
bool Planner::has_value(const PendingRecord& record, StateFile* file) {
  if (record.unusable != Unusable::kNo) return false;
  const std::vector<Value>& values = record.selection.values;
  const auto is_number = [](const Value& value) { return value.certainty != Value::Certainty::kIfKnown; };
  if (std::any_of(values.begin(), values.end(), is_number)) return true;
  if (!sensors_.knows(record.selection.key)) return false;
  const Sensor& sensor = sensors_.get(record.selection.key, file);
  return std::any_of(values.begin(), values.end(), [&](const Value& value) { return knows_value(sensor, value.name); });
}

// Chooses the actual values among the possible ones.
void Planner::choose_values(PendingRecord& record) {
  Sensor& sensor = *record.sensor;
  std::erase_if(record.selection.values, [&](const Value& value) {
    if (value.certainty == Value::Certainty::kSure || knows_value(sensor, value.name)) return false;
    const uint32_t hash = static_cast<uint32_t>(hash_of(value.name));
    const bool had_text =
        std::find(sensor.text_fields.begin(), sensor.text_fields.end(), hash) != sensor.text_fields.end();
    if (value.certainty == Value::Certainty::kQuoted) return had_text;
    if (value.is_text && !had_text) sensor.text_fields.push_back(hash);
    return true;
  });
}

// True if the record equals the last record of each of its series, in all fields.
bool Planner::is_duplicate(const Sensor& sensor, const Selection& selection, uint64_t record_hash) const {
  if (!selection.time_ns || selection.values.empty()) return false;
  for (const Value& value : selection.values) {
    const Series* series = find_series(sensor, value.name);
    if (!series || series->memory.last_time_ns != *selection.time_ns || series->memory.last_record_hash != record_hash)
      return false;
  }
  return true;
}

// The pace of the first series represents the sensor.
Pace Planner::pace(const Sensor& sensor, const Selection& selection) const {
  const Series* series = nullptr;
  for (size_t i = 0; i < selection.values.size() && !series; ++i)
    series = find_series(sensor, selection.values[i].name);
  if (!series) return {};
  const Cadence& cadence = series->memory.cadence;
  return {static_cast<int64_t>(1e9 * std::min(cadence.typical_interval_s(), kLongestInterval_s)), cadence.is_regular()};
}

// Late and future records are not steps of their series.
bool Planner::is_on_time(PendingRecord& record, Clock& clock, const Pace& pace) {
  switch (clock.read(*record.selection.time_ns, fingerprint(record.selection), pace, options_.future_s)) {
    case Clock::Verdict::on_time:
      return true;
    case Clock::Verdict::set:
      ++counters_.clock_jumps;
      return true;
    case Clock::Verdict::late:
      ++counters_.late, record.fate = PendingRecord::Fate::kLate;
      return false;
    case Clock::Verdict::future:
      ++counters_.future, record.fate = PendingRecord::Fate::kFuture;
      return false;
  }
  return false;
}

// A record that is not a step of its series.
void Planner::pass_on(PendingRecord& record) {
  for (const Value& value : record.selection.values) {
    schedule_.values.emplace_back();
    schedule_.results.push_back({value.name, value.number, is_missing(value)});
  }
}

// Adds the record to its interval. The first record of another interval completes the one before.
void Planner::collect(Arrival& arrival, const Format& input) {
  using Fate = PendingRecord::Fate;
  PendingRecord& record = arrival.record;
  Sensor& sensor = *record.sensor;
  record.first_value = schedule_.values.size();
  record.values = 0;
  record.has_new_series = record.mixes = record.is_interval = false;
  record.arriving = {};
  choose_values(record);
  if (record.selection.values.empty() || !record.selection.time_ns) {
    if (!record.selection.values.empty()) record.unusable = Unusable::kTime, record.what = "no time (--every)";
    record.fate = Fate::kUnscored;
    schedule_.records.push_back(&record);
    return;
  }
  if (!sensor.interval) sensor.interval = std::make_unique<Interval>();
  Interval& interval = *sensor.interval;
  const uint64_t record_hash = hash_of(record.record.line);
  const int64_t time_ns = *record.selection.time_ns, begin_ns = options_.every.begin_of(time_ns);
  if (interval.last_time_ns == time_ns && interval.last_hash == record_hash) {
    record.fate = Fate::kDuplicate;
    ++counters_.duplicates;
    schedule_.records.push_back(&record);
    return;
  }
  if (!belongs_to_interval(record, record_hash)) {
    pass_on(record);
    record.values = schedule_.values.size() - record.first_value;
    schedule_.records.push_back(&record);
    return;
  }
  if (interval.is_open() && begin_ns != interval.begin_ns) {
    const int64_t first_empty_ns = interval.begin_ns + options_.every.length_ns;
    close_interval(sensor, input, record.names, arrival.released);
    if (options_.every.aggregate == Aggregate::kCount && first_empty_ns < begin_ns) {
      interval.begin_ns = first_empty_ns;
      close_empty_intervals(arrival, begin_ns, input);
    }
  }
  interval.open(begin_ns);
  interval.add(*record.message, record.selection, !(sensor.settings && sensor.settings->is_in_maintenance(time_ns)));
  ++counters_.collected;
  record.fate = Fate::kCollected;
}

// Whether the record came before the end of its interval. Within it, records may come in any order.
bool Planner::belongs_to_interval(PendingRecord& record, uint64_t record_hash) {
  Sensor& sensor = *record.sensor;
  Interval& interval = *sensor.interval;
  const int64_t time_ns = *record.selection.time_ns;
  const bool is_first = interval.clock.last_ns() == kNoTime,
             is_in_it = interval.is_open() && options_.every.begin_of(time_ns) == interval.begin_ns;
  const uint64_t steady_ns_before = interval.clock.steady_ns();
  const Pace pace{static_cast<int64_t>(1e9 * std::min(interval.cadence.typical_interval_s(), kLongestInterval_s)),
                  interval.cadence.is_regular()};
  record.mixes = interval.last_time_ns == time_ns;
  if (is_in_it && time_ns < interval.last_time_ns) return true;
  record.fate = PendingRecord::Fate::kScored;
  if (!is_on_time(record, interval.clock, pace)) return false;
  interval.last_time_ns = time_ns;
  interval.last_hash = record_hash;
  record.arriving.time_ns = time_ns;
  note_passage(record, interval.clock, steady_ns_before, is_first);
  if (!is_first) interval.cadence.advance(record.arriving.passed_s.value_or(0));
  return true;
}

void Planner::close_interval(Sensor& sensor, const Format& input, const AddedNames* names,
                             std::vector<std::unique_ptr<PendingRecord>>& released) {
  Interval& interval = *sensor.interval;
  auto record = std::make_unique<PendingRecord>();
  {
    Record last;
    Selection selection;
    std::string what;
    input.parse(interval.last.text, last);
    schema_.select(last, interval.last.topic, selection, what);
    MadeRecord made(last, selection, schema_.options());
    interval.fill(made, options_.every.aggregate);
    record->own = interval.last;
    record->own.text = input.text_of(made.record());
  }
  record->message = &record->own;
  input.parse(record->own.text, record->record);
  record->unusable = schema_.select(record->record, record->own.topic, record->selection, record->what);
  record->sensor = &sensor;
  record->names = names;
  record->is_interval = true;
  interval.clear();
  interval.begin_ns = kNoTime;
  plan(*record);
  record->arriving.usual_s = 1e-9 * static_cast<double>(options_.every.length_ns);
  released.push_back(std::move(record));
}

// Closes intervals without records. A longer gap remains a gap.
void Planner::close_empty_intervals(Arrival& arrival, int64_t until_ns, const Format& input) {
  Sensor& sensor = *arrival.record.sensor;
  Interval& interval = *sensor.interval;
  const int64_t length_ns = options_.every.length_ns, first_ns = interval.begin_ns;
  if ((until_ns - first_ns) / length_ns > kLongestFilledGap) return;
  const int64_t offset = std::exchange(interval.last.offset, -1);  // they have no source record
  for (int64_t begin_ns = first_ns; begin_ns < until_ns; begin_ns += length_ns) {
    interval.begin_ns = begin_ns;
    close_interval(sensor, input, arrival.record.names, arrival.released);
  }
  interval.last.offset = offset;
}

// What passed since the sensor's record before.
void Planner::note_passage(PendingRecord& record, const Clock& clock, uint64_t steady_ns_before, bool is_first) {
  Sensor& sensor = *record.sensor;
  record.arriving.usual_s = sensor.rhythm.usual_s();
  if (is_first) return;
  const double passed_s = static_cast<double>(clock.steady_ns() - steady_ns_before) / 1e9;
  record.arriving.passed_s = passed_s;
  if (passed_s > 0) sensor.rhythm.add(passed_s);
}

// Plans a step for every value, or handles the record otherwise.
void Planner::plan(PendingRecord& record) {
  using Fate = PendingRecord::Fate;
  Sensor& sensor = *record.sensor;
  schedule_.records.push_back(&record);
  record.fate = Fate::kScored;
  record.first_value = schedule_.values.size();
  record.values = 0;
  record.has_new_series = record.mixes = false;
  record.arriving = {};
  choose_values(record);
  const uint64_t record_hash = hash_of(record.record.line);
  if (record.selection.values.empty()) {
    record.fate = Fate::kUnscored;
    return;
  }
  if (is_duplicate(sensor, record.selection, record_hash)) {
    record.fate = Fate::kDuplicate;
    ++counters_.duplicates;
    return;
  }
  Clock& clock = sensor.memory.clock;
  const bool is_first = clock.last_ns() == kNoTime;
  const uint64_t steady_ns_before = clock.steady_ns();
  if (record.selection.time_ns && !is_on_time(record, clock, pace(sensor, record.selection))) {
    pass_on(record);
  } else {
    const uint64_t steady_ns = clock.steady_ns();
    record.arriving.time_ns = record.selection.time_ns;
    if (record.selection.time_ns && !record.is_interval) note_passage(record, clock, steady_ns_before, is_first);
    ++counters_.records;
    for (const Value& value : record.selection.values) plan_value(record, value, record_hash, steady_ns);
  }
  record.values = schedule_.values.size() - record.first_value;
  record.group = record.fate == Fate::kScored && options_.judges_relations ? find_group(sensor, record) : nullptr;
}

Group* Planner::find_group(Sensor& sensor, const PendingRecord& record) {
  if (sensor.group_key.empty()) sensor.group_key = schema_.group_of(record.selection.key);
  if (!sensor.group_key.empty()) return &sensors_.group(sensor.group_key, sensor.file);
  if (!sensor.group && sensor.series.size() > 1) sensor.group = std::make_unique<Group>();
  return sensor.group.get();
}

void Planner::plan_value(PendingRecord& record, const Value& value, uint64_t record_hash, uint64_t steady_ns) {
  Sensor& sensor = *record.sensor;
  const size_t known = sensor.series.size();
  Series& series = sensors_.series(sensor, value.name);
  const bool is_new = sensor.series.size() > known;
  record.has_new_series = record.has_new_series || is_new;
  if (is_new && sensor.settings) options_.settings->note_value(readable_key(record.selection.key), value.name);
  SeriesMemory& memory = series.memory;
  const int64_t time_ns = record.selection.time_ns.value_or(kNoTime);
  record.mixes = record.mixes || (time_ns != kNoTime && memory.last_time_ns == time_ns && !is_missing(value) &&
                                  !memory.last_was_missing);
  Cadence::Passage passage;
  if (time_ns != kNoTime && memory.last_time_ns != kNoTime) {
    passage =
        memory.cadence.advance(1e-9 * static_cast<double>(static_cast<int64_t>(steady_ns - memory.last_steady_ns)));
  }
  if (!memory.has_begun) passage.missing = 0;
  memory.last_time_ns = time_ns;
  memory.last_steady_ns = steady_ns;
  const bool is_left_out = sensor.settings && time_ns != kNoTime && sensor.settings->is_in_maintenance(time_ns);
  memory.last_was_missing = is_missing(value) || is_left_out;
  memory.last_record_hash = record_hash;
  memory.has_begun |= !memory.last_was_missing;
  counters_.missing_values += is_missing(value);
  counters_.filled_steps += uint64_t(passage.missing);
  counters_.long_gaps += passage.long_gap;
  const Gap gap = memory.pass(passage);
  const size_t index = schedule_.values.size();
  schedule_.values.push_back({.series = &series,
                              .time_ns = time_ns,
                              .missing_steps = passage.missing,
                              .interval = passage.interval,
                              .forget = passage.long_gap,
                              .gap = gap,
                              .assessment = {}});
  schedule_.results.push_back({value.name, value.number, memory.last_was_missing, is_left_out && !is_missing(value)});
  if (series.last_waiting == PendingValue::kNone)
    series.first_waiting = index, schedule_.waiting.push_back(&series);
  else
    schedule_.values[series.last_waiting].next = index;
  series.last_waiting = index;
}

}  // namespace coil::sensor
