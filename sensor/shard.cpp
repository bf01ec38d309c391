// Plans a job for each value, takes the jobs' steps in blocks, and writes the results.
#include "sensor/shard.h"

#include <xxhash.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sensor/formats/timestamp.h"
#include "sensor/state/bytes.h"
#include "base/json_fields.h"

namespace coil::sensor {
namespace {

constexpr size_t kNoJob = SIZE_MAX;
constexpr size_t kFirstSlots = 16;
constexpr size_t kGrowth = 32 << 20;   // bytes of states that are made at once
constexpr size_t kStepsOfBlock = 128;  // whose outputs stay in a fast cache until they are looked at
constexpr size_t kStepsAhead = 4;      // what is remembered of a series is fetched so many steps before it is looked at
constexpr size_t kBytesOfField = 40;   // that a result usually adds
constexpr double kLeastGapError = 0.25;     // of a usual step: no forecast over a gap is surer
constexpr double kLongestInterval_s = 1e9;  // whose nanoseconds can be counted

// Beyond this the differences of values leave what a double holds.
constexpr double kLargestValue = 1e150;
bool is_missing(const Value& value) { return value.is_missing || std::fabs(value.number) > kLargestValue; }

uint64_t hash_of(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }
const Series* find_series(const Sensor& sensor, std::string_view field) {
  const auto found = std::find_if(sensor.series.begin(), sensor.series.end(),
                                  [&](const auto& series) { return series->name == field; });
  return found == sensor.series.end() ? nullptr : found->get();
}

// Of a record's values.
uint32_t fingerprint(const Selection& selection) {
  uint64_t hash = 0;
  for (const Value& value : selection.values) {
    if (value.certainty == Value::Certainty::kIfKnown) continue;  // what becomes of it depends on what came before
    const double number = is_missing(value) ? HUGE_VAL : value.number;
    hash = XXH3_64bits_withSeed(&number, sizeof number, hash);
  }
  return static_cast<uint32_t>(hash);
}

Added number_or_null(std::string_view name, bool exists, double value) {
  return {name, exists && std::isfinite(value) ? Field::Kind::number : Field::Kind::null, value, {}};
}

}  // namespace

// Of one value field: what its results are called.
struct Shard::Names {
  std::string field, expected, low, high, score;
  struct Ahead {
    std::string median, low, high;
  };
  std::vector<Ahead> ahead;

  Names(const EngineOptions& options, std::string_view of) : field(of) {
    const std::string base = options.prefix + field + "_";
    expected = base + "expected", low = base + "low", high = base + "high", score = base + "score";
    for (const size_t horizon : options.horizons) {
      const std::string at = base + "forecast_" + std::to_string(horizon);
      ahead.push_back({at, at + "_low", at + "_high"});
    }
  }

  template <class Visit>
  void visit(bool with_score, Visit see) const {
    see(expected), see(low), see(high);
    if (with_score) see(score);
    for (const Ahead& at : ahead) see(at.median), see(at.low), see(at.high);
  }
};

std::vector<std::string> added_names(const EngineOptions& options, std::span<const std::string_view> values) {
  std::vector<std::string> names;
  for (const std::string_view value : values) {
    const std::string base = options.prefix + std::string(value) + "_";
    for (const char* what : {"expected", "low", "high"}) names.push_back(base + what);
    if (values.size() > 1) names.push_back(base + "score");
    for (const size_t horizon : options.horizons) {
      for (const char* what : {"", "_low", "_high"})
        names.push_back(base + "forecast_" + std::to_string(horizon) + what);
    }
  }
  for (const char* what : {"score", "status", "episode"}) names.push_back(options.prefix + what);
  return names;
}

void take_time_out(Record& record, Selection& selection) {
  if (!selection.time_field) return;
  record.time_ns = selection.time_ns;
  std::array<const Field*, 2> fields = {selection.time_field, selection.clock_field};
  std::sort(fields.begin(), fields.end(), std::greater<>());
  for (const Field* field : fields) {
    if (field) record.fields.erase(record.fields.begin() + (field - record.fields.data()));
  }
  selection.time_field = selection.clock_field = nullptr;
}

int normaliser_window(const ssm::Model& model) {
  const nlohmann::json card = parse_json(model.card().json, model.source() + ": card");
  if (!card.contains("forecast")) throw Error(model.source() + ": card.forecast is missing");
  return JsonFields(card["forecast"], model.source() + ": card.forecast").whole("window", 2, 1 << 20, 256);
}

struct Shard::Entry {
  StateFile* file = nullptr;
  std::unique_ptr<Sensor> sensor;  // null: only on disk
  Piece stored;                    // where it lies on disk as it is; no bytes: nowhere
  std::list<Entries::value_type*>::iterator age;
};

Shard::Shard(std::shared_ptr<const ssm::Model> model, const EngineOptions& options, const Schema& schema,
             Counters& counters, size_t max_series)
    : model_(std::move(model)),
      options_(options),
      schema_(schema),
      counters_(counters),
      max_series_(max_series),
      window_(normaliser_window(*model_)),
      score_name_(options.prefix + "score"),
      status_name_(options.prefix + "status"),
      episode_name_(options.prefix + "episode"),
      horizon_rows_(options.horizons),
      batch_(model_, kFirstSlots, horizon_rows_.outputs()),
      scratch_(model_->initial_state()) {
  for (size_t slot = kFirstSlots; slot-- > 0;) free_slots_.push_back(static_cast<uint32_t>(slot));
}
Shard::~Shard() = default;

uint32_t Shard::take_slot() {
  if (free_slots_.empty()) {
    const size_t size = batch_.size(), more = std::clamp<size_t>(kGrowth / batch_.bytes_per_stream(), 1, size);
    batch_.add(more);
    for (size_t slot = size + more; slot-- > size;) free_slots_.push_back(static_cast<uint32_t>(slot));
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  ++resident_series_;
  return slot;
}

Shard::Entries::value_type& Shard::entry(const std::string& key, StateFile* file) {
  const auto [it, is_new] = entries_.try_emplace(key);
  Entry& entry = it->second;
  if (entry.sensor) {
    if (max_series_ > 0) by_age_.splice(by_age_.end(), by_age_, entry.age);
  } else {
    entry.file = file;
    if (is_new) {
      entry.sensor = std::make_unique<Sensor>();
    } else {
      entry.sensor = unpack(entry.file->read(entry.stored));
      ++counters_.returns;
    }
    entry.age = by_age_.insert(by_age_.end(), &*it);
  }
  if (entry.stored.bytes > 0) {  // it will change now
    entry.file->release(entry.stored);
    entry.stored = {};
  }
  return *it;
}

Series& Shard::series(Sensor& sensor, std::string_view field) {
  for (const auto& series : sensor.series) {
    if (series->name == field) return *series;
  }
  Series& series = *sensor.series.emplace_back(std::make_unique<Series>(std::string(field), window_));
  series.slot = take_slot();
  batch_.reset(series.slot);
  return series;
}

const Shard::Names& Shard::names(size_t place, std::string_view field) {
  if (place >= last_names_.size()) last_names_.resize(place + 1);
  const Names*& last = last_names_[place];
  if (last && last->field == field) return *last;
  std::unique_ptr<Names>& names = names_[std::string(field)];
  if (!names) names = std::make_unique<Names>(options_, field);
  return *(last = names.get());
}

void Shard::process(std::span<const std::unique_ptr<Item>> items, size_t shard, const Format& input,
                    const Format& output) {
  jobs_.clear();
  ahead_.clear();
  works_.clear();
  for (const auto& item : items) {
    if (item->shard == shard && item->work.error.empty()) accept(*item, input);
  }
  run_jobs();
  for (size_t i = 0; i < works_.size(); ++i) {
    if (const size_t ahead = i + kStepsAhead; ahead < works_.size() && works_[ahead]->sensor)
      __builtin_prefetch(&works_[ahead]->sensor->memory.in_episode);
    conclude(*works_[i], output, &input == &output);
  }
  evict();
}

// Finds the sensor, and puts the record in the order of times where that is wished.
void Shard::accept(Item& item, const Format& input) {
  Work& work = item.work;
  if (!has_value(work, item.file)) {
    work.status = Work::Status::unscored;
    works_.push_back(&work);
    return;
  }
  Sensor& sensor = *entry(work.selection.key, item.file).second.sensor;
  work.sensor = &sensor;
  if (options_.reorder_records == 0 || !work.selection.time_ns) return plan(work);
  const int64_t time_ns = *work.selection.time_ns;
  const Clock& clock = sensor.memory.clock;
  if (clock.last_ns() != kNoTime && time_ns < clock.last_ns()) {
    const int64_t latest_ns = sensor.held.empty() ? clock.last_ns() : sensor.held.back().time_ns;
    if (clock.was_set_back(time_ns, latest_ns, fingerprint(work.selection), pace(sensor, work.selection)))
      release(item, 0, input);
    return plan(work);
  }
  const auto place = std::upper_bound(sensor.held.begin(), sensor.held.end(), time_ns,
                                      [](int64_t t, const Held& held) { return t < held.time_ns; });
  sensor.held.insert(place, Held{time_ns, *work.message});
  work.status = Work::Status::held;
  release(item, size_t(options_.reorder_records), input);
}

// The first of the records that wait for the item's sensor, until so many are left.
void Shard::release(Item& item, size_t left, const Format& input) {
  Sensor& sensor = *item.work.sensor;
  while (sensor.held.size() > left) {
    Work& released = *item.released.emplace_back(std::make_unique<Work>());
    released.own = std::move(sensor.held.front().message);
    released.message = &released.own;
    sensor.held.erase(sensor.held.begin());
    input.parse(released.own.text, released.record);
    released.unusable = schema_.select(released.record, released.own.topic, released.selection, released.what);
    released.sensor = &sensor;
    released.names = item.work.names;
    plan(released);
  }
}

// Whether it holds a number, or lacks one that its sensor had before.
bool Shard::has_value(const Work& work, StateFile* file) {
  if (work.unusable != Unusable::kNo) return false;
  const std::vector<Value>& values = work.selection.values;
  const auto is_number = [](const Value& value) { return value.certainty != Value::Certainty::kIfKnown; };
  if (std::any_of(values.begin(), values.end(), is_number)) return true;
  if (!entries_.contains(work.selection.key)) return false;
  const Sensor& sensor = *entry(work.selection.key, file).second.sensor;
  return std::any_of(values.begin(), values.end(),
                     [&](const Value& value) { return find_series(sensor, value.name) != nullptr; });
}

// Of what may be values those that are.
void Shard::choose_values(Work& work) {
  Sensor& sensor = *work.sensor;
  std::erase_if(work.selection.values, [&](const Value& value) {
    if (value.certainty == Value::Certainty::kSure || find_series(sensor, value.name)) return false;
    const uint32_t hash = static_cast<uint32_t>(hash_of(value.name));
    const bool had_text =
        std::find(sensor.text_fields.begin(), sensor.text_fields.end(), hash) != sensor.text_fields.end();
    if (value.certainty == Value::Certainty::kQuoted) return had_text;
    if (value.is_text && !had_text) sensor.text_fields.push_back(hash);
    return true;
  });
}

// Equal to the last record of each of its series, in all of its fields.
bool Shard::is_duplicate(const Sensor& sensor, const Selection& selection, uint64_t record_hash) const {
  if (!selection.time_ns || selection.values.empty()) return false;
  for (const Value& value : selection.values) {
    const Series* series = find_series(sensor, value.name);
    if (!series || series->memory.last_time_ns != *selection.time_ns || series->memory.last_record_hash != record_hash)
      return false;
  }
  return true;
}

// What is known of the first series stands for the sensor.
Pace Shard::pace(const Sensor& sensor, const Selection& selection) const {
  const Series* series = nullptr;
  for (size_t i = 0; i < selection.values.size() && !series; ++i)
    series = find_series(sensor, selection.values[i].name);
  if (!series) return {};
  const Cadence& cadence = series->memory.cadence;
  return {static_cast<int64_t>(1e9 * std::min(cadence.typical_interval_s(), kLongestInterval_s)), cadence.is_regular()};
}

// Late records and those of the future are no steps of their series.
bool Shard::is_on_time(Work& work) {
  Sensor& sensor = *work.sensor;
  switch (sensor.memory.clock.read(*work.selection.time_ns, fingerprint(work.selection), pace(sensor, work.selection),
                                   options_.future_s)) {
    case Clock::Verdict::on_time:
      return true;
    case Clock::Verdict::set:
      ++counters_.clock_jumps;
      return true;
    case Clock::Verdict::late:
      ++counters_.late, work.status = Work::Status::late;
      return false;
    case Clock::Verdict::future:
      ++counters_.future, work.status = Work::Status::future;
      return false;
  }
  return false;
}

// A job for every value, or what else becomes of the record.
void Shard::plan(Work& work) {
  Sensor& sensor = *work.sensor;
  works_.push_back(&work);
  work.status = Work::Status::normal;
  work.first_job = jobs_.size();
  work.jobs = 0;
  work.has_new_series = work.mixes = false;
  choose_values(work);
  const uint64_t record_hash = hash_of(work.record.line);
  if (work.selection.values.empty()) {
    work.status = Work::Status::unscored;
    return;
  }
  if (is_duplicate(sensor, work.selection, record_hash)) {
    work.status = Work::Status::dropped;
    ++counters_.duplicates;
    return;
  }
  const int64_t time_ns = work.selection.time_ns.value_or(kNoTime);
  if (time_ns != kNoTime && !is_on_time(work)) return;
  const uint64_t steady_ns = sensor.memory.clock.steady_ns();
  ++counters_.records;
  for (const Value& value : work.selection.values) {
    const size_t known = sensor.series.size();
    Series& series = this->series(sensor, value.name);
    work.has_new_series = work.has_new_series || sensor.series.size() > known;
    SeriesMemory& memory = series.memory;
    work.mixes = work.mixes || (time_ns != kNoTime && memory.last_time_ns == time_ns && !is_missing(value) &&
                                !memory.last_was_missing);
    Cadence::Step step;
    if (time_ns != kNoTime && memory.last_time_ns != kNoTime) {
      step =
          memory.cadence.advance(1e-9 * static_cast<double>(static_cast<int64_t>(steady_ns - memory.last_steady_ns)));
    }
    if (!memory.has_begun) step.missing = 0;
    memory.last_time_ns = time_ns;
    memory.last_steady_ns = steady_ns;
    memory.last_was_missing = is_missing(value);
    memory.last_record_hash = record_hash;
    memory.has_begun |= !memory.last_was_missing;
    counters_.missing_values += memory.last_was_missing;
    counters_.filled_steps += uint64_t(step.missing);
    counters_.long_gaps += step.long_gap;
    const Gap gap = memory.pass(step);
    const size_t index = jobs_.size();
    jobs_.push_back({&series,
                     value.number,
                     memory.last_was_missing,
                     step.missing,
                     step.interval,
                     step.long_gap,
                     gap,
                     kNoJob,
                     {},
                     {}});
    if (series.last_job == kNoJob)
      series.first_job = index, waiting_.push_back(&series);
    else
      jobs_[series.last_job].next = index;
    series.last_job = index;
    ++work.jobs;
  }
}

// All that waits for a series is one stretch of time: its model's state is read and written once for it.
void Shard::run_jobs() {
  ahead_.resize(jobs_.size() * options_.horizons.size());
  outputs_.resize(kStepsOfBlock * horizon_rows_.width());
  for (Series* series : waiting_) {
    for (size_t job = series->first_job; job != kNoJob; job = jobs_[job].next) {
      for (int masked = 0; masked < jobs_[job].masked_steps; ++masked) add_step(job, false);
      add_step(job, true);
    }
    series->first_job = series->last_job = kNoJob;
  }
  run_block();
  waiting_.clear();
}

// What the model hears does not depend on what it said, so that the frames of a block can be known before it runs.
void Shard::add_step(size_t index, bool is_last) {
  if (steps_.size() == kStepsOfBlock) run_block();
  const Job& job = jobs_[index];
  Normaliser& normaliser = job.series->memory.normaliser;
  const LastSeen before = LastSeen::of(normaliser);
  const Frame frame = !is_last         ? normaliser.miss()
                      : job.is_missing ? normaliser.miss(job.interval)
                                       : normaliser.observe(job.value, job.interval);
  if (advances_.empty() || advances_.back().stream != job.series->slot) advances_.push_back({job.series->slot, 0});
  ++advances_.back().frames;
  frames_.insert(frames_.end(), frame.begin(), frame.end());
  steps_.push_back({index, is_last, before, normaliser});
}

void Shard::run_block() {
  const size_t width = horizon_rows_.width();
  const std::span<float> outputs(outputs_.data(), steps_.size() * width);
  batch_.process(advances_, frames_, outputs);
  const auto series = [&](size_t step) { return jobs_[steps_[step].job].series; };
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

// A value that comes after a gap is compared with where the series should be by now. Records that did not come may be a
// clock that was set: then it may as well be where the series should be after those that came.
void Shard::judge(Job& job, const LastSeen& before) {
  SeriesMemory& memory = job.series->memory;
  job.expected = Expected::of(memory.forecasts.due(0));
  Return comes_back{job.gap.steps, 0};
  if (job.gap.steps > 0) {
    const double least_error = kLeastGapError * before.usual_step;
    const GapForecast by_now = memory.recent.forecast(job.gap.steps, least_error);
    if (by_now.exists()) job.expected = Expected::of(memory.bounds.widened(by_now, job.gap.steps));
    if (by_now.exists() && !job.is_missing) {
      comes_back.decades = by_now.decades(job.value);
      if (static_cast<double>(job.gap.records) < job.gap.steps) {
        const GapForecast clock_set = memory.recent.forecast(static_cast<double>(job.gap.records), least_error);
        comes_back.decades = std::min(comes_back.decades, clock_set.decades(job.value));
      }
    }
  }
  if (job.is_missing) return;
  if (job.gap.steps == 0 && job.expected.exists) memory.bounds.see(job.expected.high - job.expected.low);
  job.assessment = memory.detector.observe(job.value, memory.forecasts, before, comes_back);
  memory.recent.add(job.value, job.gap.steps);
}

void Shard::finish_step(const Step& step, std::span<const float> outputs) {
  Job& job = jobs_[step.job];
  SeriesMemory& memory = job.series->memory;
  if (step.is_last) {
    if (job.forget) memory.forecasts.forget();
    judge(job, step.before);
  }
  if (step.normaliser.observed() == 0) return;
  memory.forecasts.advance(step.normaliser, outputs, horizon_rows_);
  if (!step.is_last) return;
  for (size_t i = 0; i < options_.horizons.size(); ++i) {
    ahead_[step.job * options_.horizons.size() + i] =
        QuantileForecast::of(step.normaliser, horizon_rows_.row(outputs, options_.horizons[i]));
  }
}

// Record by record, in order: the score of all its values, the episode, the text.
void Shard::conclude(Work& work, const Format& output, bool as_it_came) {
  work.output.clear();
  if (work.status == Work::Status::dropped) return;
  const bool scored = work.status == Work::Status::normal;
  if (work.status == Work::Status::unscored) work.selection.values.clear();
  bool several = work.selection.values.size() > 1;
  double event_decades = 0, evidence_decades = 0;
  bool all_missing = true, all_warming_up = true;
  for (size_t i = 0; i < work.jobs; ++i) {
    const Job& job = jobs_[work.first_job + i];
    event_decades = std::max(event_decades, job.assessment.event_decades);
    evidence_decades = std::max(evidence_decades, job.assessment.evidence_decades);
    if (!job.is_missing) all_missing = false, all_warming_up = all_warming_up && job.assessment.warming_up;
  }
  // The most unusual of n is less unusual.
  const double of_many = work.jobs > 1 ? std::log10(static_cast<double>(work.jobs)) : 0;
  const double score = score_of(event_decades - of_many), lasting = score_of(evidence_decades - of_many);
  const bool anomalous = scored && score >= options_.threshold;
  counters_.anomalies += anomalous;

  const char* episode = nullptr;
  if (scored && (work.sensor->memory.in_episode || anomalous)) {
    SensorMemory& memory = work.sensor->memory;
    episode = memory.in_episode ? "on" : "begin";
    counters_.episodes += !memory.in_episode;
    memory.quiet_records = anomalous || lasting >= options_.threshold ? 0 : memory.quiet_records + 1;
    memory.in_episode = memory.quiet_records < std::max(1, options_.hold_off_records);
    if (!memory.in_episode) episode = "end";
  }
  const char* status = work.status == Work::Status::late       ? "late"
                       : work.status == Work::Status::future   ? "future"
                       : work.status == Work::Status::unscored ? (work.lacks_value() ? "missing" : "unscored")
                       : all_missing                           ? "missing"
                       : all_warming_up                        ? "warmup"
                       : anomalous                             ? "anomaly"
                                                               : "ok";

  added_.clear();
  for (size_t i = 0; i < work.selection.values.size(); ++i) {
    const Names& names = this->names(i, work.selection.values[i].name);
    several = several || (output.has_fixed_columns() && output.has_column(work.names->of(names.score)));
    if (!scored) {
      names.visit(several, [&](const std::string& name) { added_.push_back(number_or_null(name, false, 0)); });
      continue;
    }
    const Job& job = jobs_[work.first_job + i];
    const Expected& expected = job.expected;
    added_.push_back(number_or_null(names.expected, expected.exists, expected.median));
    added_.push_back(number_or_null(names.low, expected.exists, expected.low));
    added_.push_back(number_or_null(names.high, expected.exists, expected.high));
    if (several) added_.push_back(number_or_null(names.score, !job.is_missing, score_of(job.assessment.event_decades)));
    for (size_t k = 0; k < options_.horizons.size(); ++k) {
      const QuantileForecast& ahead = ahead_[(work.first_job + i) * options_.horizons.size() + k];
      added_.push_back(number_or_null(names.ahead[k].median, ahead.exists(), ahead.median()));
      added_.push_back(number_or_null(names.ahead[k].low, ahead.exists(), ahead.low()));
      added_.push_back(number_or_null(names.ahead[k].high, ahead.exists(), ahead.high()));
    }
  }
  added_.push_back(number_or_null(score_name_, scored && !all_missing, score));
  added_.push_back({status_name_, Field::Kind::text, 0, status});
  added_.push_back({episode_name_, episode ? Field::Kind::text : Field::Kind::null, 0, episode ? episode : ""});
  if (!work.names->are_plain()) {
    for (Added& added : added_) added.name = work.names->of(added.name);
  }
  if (!as_it_came) take_time_out(work.record, work.selection);
  work.output.reserve(work.record.line.size() + kBytesOfField * added_.size());
  output.write(work.record, added_, as_it_came, work.output);
}

void Shard::release_all(std::vector<std::unique_ptr<Work>>& works, const Format& input, const Format& output,
                        const AddedNames& names) {
  jobs_.clear();
  ahead_.clear();
  works_.clear();
  for (auto& [key, at] : entries_) {
    Sensor& sensor = *entry(key, at.file).second.sensor;
    for (Held& held : sensor.held) {
      Work& work = *works.emplace_back(std::make_unique<Work>());
      work.own = std::move(held.message);
      work.message = &work.own;
      input.parse(work.own.text, work.record);
      work.unusable = schema_.select(work.record, work.own.topic, work.selection, work.what);
      work.sensor = &sensor;
      work.names = &names;
      plan(work);
    }
    sensor.held.clear();
  }
  run_jobs();
  for (Work* work : works_) conclude(*work, output, &input == &output);
}

Bytes Shard::pack(const Sensor& sensor) {
  Bytes bytes;
  ByteWriter writer(bytes);
  writer.value(sensor.memory);
  writer.value(static_cast<uint64_t>(sensor.series.size()));
  for (const auto& series : sensor.series) {
    writer.text(series->name);
    writer.value(series->memory);
    batch_.copy_state(series->slot, scratch_);
    writer.raw(scratch_.data(), scratch_.bytes());
  }
  writer.value(static_cast<uint64_t>(sensor.text_fields.size()));
  writer.raw(sensor.text_fields.data(), sensor.text_fields.size() * sizeof(uint32_t));
  writer.value(static_cast<uint64_t>(sensor.held.size()));
  for (const Held& held : sensor.held) {
    writer.value(held.time_ns);
    writer.text(held.message.topic);
    writer.text(held.message.text);
    writer.value(held.message.partition);
    writer.value(held.message.offset);
  }
  return bytes;
}

std::unique_ptr<Sensor> Shard::unpack(const Bytes& bytes) {
  ByteReader reader(bytes);
  auto sensor = std::make_unique<Sensor>();
  sensor->memory = reader.value<SensorMemory>();
  for (auto count = reader.value<uint64_t>(); count > 0; --count) {
    Series& series = *sensor->series.emplace_back(std::make_unique<Series>(reader.text(), window_));
    reader.raw(&series.memory, sizeof series.memory);
    reader.raw(scratch_.data(), scratch_.bytes());
    const ssm::State state = scratch_;
    series.slot = take_slot();
    batch_.set_state(series.slot, state);
  }
  for (auto count = reader.value<uint64_t>(); count > 0; --count)
    sensor->text_fields.push_back(reader.value<uint32_t>());
  for (auto count = reader.value<uint64_t>(); count > 0; --count) {
    Held& held = sensor->held.emplace_back();
    held.time_ns = reader.value<int64_t>();
    held.message.topic = reader.text();
    held.message.text = reader.text();
    held.message.partition = reader.value<int32_t>();
    held.message.offset = reader.value<int64_t>();
  }
  return sensor;
}

void Shard::discard(Entry& entry) {
  for (const auto& series : entry.sensor->series) free_slots_.push_back(series->slot);
  resident_series_ -= entry.sensor->series.size();
  by_age_.erase(entry.age);
  entry.sensor.reset();
}

void Shard::evict() {
  while (max_series_ > 0 && resident_series_ > max_series_ && by_age_.size() > 1) {
    Entry& oldest = by_age_.front()->second;
    if (oldest.stored.bytes == 0) oldest.stored = oldest.file->write(pack(*oldest.sensor));
    discard(oldest);
    ++counters_.evictions;
  }
}

void Shard::add_stored(const std::string& key, StateFile& file, const Piece& piece) {
  Entry& entry = entries_[key];
  entry.file = &file;
  entry.stored = piece;
}

void Shard::save(StateFile& file, std::map<std::string, Piece>& pieces) {
  for (auto& [key, entry] : entries_) {
    if (entry.file != &file) continue;
    if (entry.stored.bytes == 0) entry.stored = file.write(pack(*entry.sensor));
    pieces[key] = entry.stored;
  }
}

void Shard::drop(const StateFile& file) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second.file == &file) {
      if (it->second.sensor) discard(it->second);
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace coil::sensor
