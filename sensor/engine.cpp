// Accepts messages, lets the shards process them, and passes results on. Keeps the source positions that states
// correspond to.
#include "sensor/engine.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "sensor/engine/shard.h"
#include "sensor/formats/duration.h"
#include "sensor/formats/made_record.h"

namespace coil::sensor {
namespace {

constexpr size_t kRecordsWorthThreads = 16;  // for fewer records, waking other threads takes longer than the work
constexpr size_t kRecordsAtOnce = 4096;      // results are passed on after this many records
constexpr size_t kLeastAtOnce = 64;
constexpr uint64_t kTellOfNothingUsed = 20;  // after this many records without a usable one, warn: it is no accident

StateFile::Identity identity_of(const ssm::Model& model, const Intervals& every) {
  const std::string intervals = !every.exist() ? ""
                                               : ", --every " + describe_duration(1e-9 * double(every.length_ns)) +
                                                     " --aggregate " + name_of(every.aggregate);
  const std::string bytes = std::to_string(model.state_layout()->size * sizeof(float));
  const std::string layout =
      LayoutText::of(SensorMemory()) + " " + LayoutText::of(SeriesMemory(normaliser_window(model)));
  char id[20];
  std::snprintf(id, sizeof id, "%016llx", static_cast<unsigned long long>(XXH3_64bits(layout.data(), layout.size())));
  return {"model " + model.hash() + " with " + bytes + " bytes a series and the layout " + id + intervals,
          "model " + model.hash() + " with " + bytes + " + " + std::to_string(sizeof(SeriesMemory)) +
              " bytes a series and " + std::to_string(sizeof(SensorMemory)) + " a sensor" + intervals};
}

}  // namespace

// A source of messages with its own positions: one partition of a partitioned source, or the whole of a pipe.
struct Partition {
  int32_t number = -1;
  int64_t next_offset = 0;          // of the first unprocessed message
  std::unique_ptr<StateFile> file;  // null: no state is kept
  bool changed = false;             // since the last save
  int64_t saved_offset = -1;
  std::string saved_place;
};

size_t Engine::bytes_per_series(const ssm::Model& model) {
  return model.state_layout()->size * sizeof(float) + sizeof(Sensor) + sizeof(Series) + sizeof(void*);
}

double Engine::macs_per_step() const { return shards_.front()->sensors().batch().macs_per_frame(); }

void Engine::check_forecaster(const ssm::Model& model) {
  const auto refuse = [&](const std::string& what) {
    throw Error(model.source() + ": is not a forecaster of sensor data: " + what);
  };
  if (model.card().task != "forecast") refuse("its card's task is '" + model.card().task + "', wanted is 'forecast'");
  if (model.config().input_kind != ssm::InputKind::frames || model.config().d_input != int(kFrameWidth))
    refuse("d_input must be " + std::to_string(kFrameWidth));
  if (model.config().d_output != int(kHorizons * kQuantiles))
    refuse("d_output must be " + std::to_string(kHorizons * kQuantiles));
  normaliser_window(model);
}

Engine::Engine(std::shared_ptr<const ssm::Model> model, EngineOptions options, Complaint complain)
    : model_(std::move(model)),
      options_(std::move(options)),
      complain_(std::move(complain)),
      schema_(options_.schema),
      cutter_(
          options_.input_format, [this](std::string_view name) { return schema_.knows(name); },
          [this](const Message& message, const std::string& what) { complain_(message, what); }),
      silence_(options_.silence_times),
      silence_encoder_(options_),
      now_(SilenceWatch::Clock::now()),
      pool_(std::max<size_t>(1, options_.threads)) {
  silence_.use(options_.settings);
  names_.push_back(std::make_unique<AddedNames>());
  check_forecaster(*model_);
  const size_t threads = pool_.size(),
               bound = options_.max_series == 0 ? 0 : std::max<size_t>(1, options_.max_series / threads);
  for (size_t i = 0; i < threads; ++i)
    shards_.push_back(std::make_unique<Shard>(model_, options_, schema_, counters_, bound));
  if (options_.state.empty() && bound > 0) {
    StateFile::Content nothing;
    overflow_ = std::make_unique<StateFile>("", identity_of(*model_, options_.every), nothing);
  }
  if (!options_.partitioned) whole_ = &open("", -1);
  if (options_.resume) recall_opening();
}
Engine::~Engine() = default;

Partition& Engine::open(const std::string& topic, int32_t number) {
  std::unique_ptr<Partition>& partition = partitions_[{topic, number}];
  if (partition) return *partition;
  partition = std::make_unique<Partition>();
  partition->number = number;
  if (options_.state.empty()) return *partition;
  std::filesystem::path path = options_.state;
  if (number >= 0) {
    std::string name = "." + topic + "." + std::to_string(number);
    std::replace(name.begin(), name.end(), '/', '_');
    path += name;
  }
  StateFile::Content content;
  partition->file = std::make_unique<StateFile>(path, identity_of(*model_, options_.every), content);
  partition->next_offset = content.position;
  partition->saved_offset = content.pieces.empty() && content.position == 0 ? -1 : content.position;
  partition->saved_place = content.place;
  if (number < 0) {
    place_ = std::move(content.place), old_opening_ = std::move(content.opening);
    has_state_ = !content.pieces.empty();
    if (options_.resume) old_pending_ = std::move(content.pending);
  }
  for (const auto& [key, piece] : content.pieces) {
    shards_[shard_of(key)]->sensors().add_stored(key, *partition->file, piece);
  }
  for (const auto& [key, mark] : content.marks) silence_.recall(key, partition.get(), mark, now_);
  if (!content.taken_names.empty()) {
    std::vector<std::string> taken = names_.back()->taken();
    taken.insert(taken.end(), content.taken_names.begin(), content.taken_names.end());
    names_.push_back(std::make_unique<AddedNames>(taken));
  }
  update_counters();
  return *partition;
}

// The sensors of a group share a shard.
size_t Engine::shard_of(const std::string& key) const {
  const std::string group = Schema::is_group(key) ? key : schema_.group_of(key);
  return std::hash<std::string>()(group.empty() ? key : group) % shards_.size();
}

// Returns true if the message's results were not delivered before, and its partition.
bool Engine::is_new(const Message& message, Partition*& partition) {
  if (message.partition < 0 && whole_) {
    partition = whole_;
    return !message.is_known;
  }
  const auto found = partitions_.find(std::pair(message.topic, message.partition));
  if (found == partitions_.end()) return false;  // revoked in the meantime
  partition = found->second.get();
  return message.offset < 0 || message.offset >= partition->next_offset;
}

// At the first readable record, fixes the format and the header of the output.
void Engine::settle(const Message& message, Sink* sink) {
  Record record;
  Selection selection;
  std::string what;
  Format& format = *cutter_.format();
  if (!format.parse(message.text, record).empty()) return;
  settled_ = true;
  opening_ = cutter_.head_lines();
  opening_.push_back(message.text);
  if (!options_.output_format.empty() && options_.output_format != format.name())
    other_format_ = make_format(options_.output_format);
  schema_.select(record, message.topic, selection, what);
  for (const Field& field : record.fields) {
    if (!field.is_inner) tally_.names += (tally_.names.empty() ? "" : ", ") + std::string(field.name);
  }
  add_clashes(record, message);
  const auto is_value = [&](const Field& field) {
    return !field.is_tag && std::any_of(selection.values.begin(), selection.values.end(), [&](const Value& value) {
      return value.name == field.name && value.certainty != Value::Certainty::kIfKnown;
    });
  };
  // If the first record holds no number, every field that is not key or time may become a value.
  const bool has_number = std::any_of(record.fields.begin(), record.fields.end(), is_value);
  std::vector<std::string_view> values;
  for (const Field& field : record.fields) {
    if (is_value(field) || schema_.may_become_value(field, selection, !has_number)) values.push_back(field.name);
  }
  std::vector<Added> added;
  const std::vector<std::string> names = added_names(options_, values);
  for (const std::string& name : names) added.push_back({names_.back()->of(name), Field::Kind::null, 0, {}});
  if (other_format_) take_time_out(record, selection);
  const std::optional<std::string> header = (other_format_ ? *other_format_ : format).header(record, added);
  if (header && sink) sink->write_header(*header);
  names_are_fixed_ = output().has_fixed_columns();
}

// From here on, added fields get names that differ from the record's own.
void Engine::add_clashes(const Record& record, const Message& message) {
  if (names_are_fixed_) return;
  const std::vector<std::string> found = names_.back()->clashes(record, options_.prefix);
  if (found.empty()) return;
  std::vector<std::string> taken = names_.back()->taken();
  taken.insert(taken.end(), found.begin(), found.end());
  names_.push_back(std::make_unique<AddedNames>(taken));
  std::string list;
  for (const std::string& name : found)
    (list += list.empty() ? "" : ", ") += "'" + std::string(names_.back()->of(name)) + "'";
  complain_(message, "records have a field '" + found.front() + "' of their own" +
                         (found.size() > 1 ? " and others like it" : "") + ": what is added is called " + list +
                         " from here on (--prefix gives all added fields other names)");
}

void Engine::on_all(size_t arrivals, const std::function<void(size_t share)>& task) {
  if (arrivals >= kRecordsWorthThreads) return pool_.run(task);
  for (size_t share = 0; share < pool_.size(); ++share) task(share);
}

void Engine::process(std::span<const Message> messages, Sink& sink) {
  // Everything that one call brings into memory stays there until the call ends.
  const size_t at_once =
      options_.max_series == 0 ? kRecordsAtOnce : std::clamp(options_.max_series, kLeastAtOnce, kRecordsAtOnce);
  now_ = SilenceWatch::Clock::now();
  for (; messages.size() > at_once; messages = messages.subspan(at_once)) process(messages.first(at_once), sink);
  used_arrivals_ = 0;
  const std::vector<Message> pending = std::exchange(old_pending_, {});
  for (const Message& message : pending) take_in(message, sink);
  for (const Message& message : messages) take_in(message, sink);
  process_arrivals(sink);
}

// The input continues under the header in the state, and the header of the results was already written.
void Engine::recall_opening() {
  cuts_.clear();
  cutter_.recall(std::exchange(old_opening_, {}), cuts_);
  for (const Cut& cut : cuts_) {
    if (!settled_ && cut.error.empty()) settle(*cut.message, nullptr);
  }
  cuts_.clear();
  cutter_.release();
}

// Splits a message into records, and makes arrivals of those whose results were not delivered before.
void Engine::take_in(const Message& message, Sink& sink) {
  Partition* partition = nullptr;
  const bool fresh = is_new(message, partition);
  if (!fresh && !message.is_known) ++counters_.skipped;
  if (!fresh && settled_ && !message.is_known) return;
  if (!old_opening_.empty() && message.text.find_first_not_of(" \t\r") != std::string::npos) {
    if (cutter_.continues(old_opening_, message.text)) recall_opening();
    old_opening_.clear();
  }
  cuts_.clear();
  cutter_.add(message, cuts_);
  take_cuts(sink);
  if (fresh && message.partition >= 0 && message.offset >= 0 && cutter_.is_between_records())
    partition->next_offset = message.offset + 1;
}

void Engine::take_cuts(Sink& sink) {
  for (Cut& cut : cuts_) {
    Partition* partition = nullptr;
    const bool fresh = is_new(*cut.message, partition);
    if (!settled_ && cut.error.empty()) settle(*cut.message, fresh ? &sink : nullptr);
    if (!fresh) continue;
    partition->changed = true;
    if (used_arrivals_ == arrivals_.size()) arrivals_.push_back(std::make_unique<Arrival>());
    Arrival& arrival = *arrivals_[used_arrivals_++];
    arrival.partition = partition;
    arrival.file = partition->file ? partition->file.get() : overflow_.get();
    arrival.released.clear();
    arrival.record.message = cut.message;
    arrival.record.error = std::move(cut.error);
    arrival.record.fate = PendingRecord::Fate::kScored;
    arrival.record.unusable = Unusable::kNo;
    arrival.record.sensor = nullptr;
  }
}

Shard::Formats Engine::formats(const Sink& sink) const {
  return {cutter_.format(), sink.wants_text() ? &output() : nullptr};
}

void Engine::process_arrivals(Sink& sink) {
  if (used_arrivals_ == 0) return cutter_.release();
  const std::span<const std::unique_ptr<Arrival>> arrivals(arrivals_.data(), used_arrivals_);
  on_all(arrivals.size(), [&](size_t share) {
    for (size_t i = arrivals.size() * share / pool_.size(); i < arrivals.size() * (share + 1) / pool_.size(); ++i) {
      PendingRecord& record = arrivals[i]->record;
      if (record.error.empty()) record.error = cutter_.format()->parse(record.message->text, record.record);
      if (!record.error.empty()) continue;
      record.unusable = schema_.select(record.record, record.message->topic, record.selection, record.what);
      record.may_clash = may_clash(record.record, options_.prefix);
      arrivals[i]->shard = record.unusable == Unusable::kNo ? shard_of(record.selection.key) : i % shards_.size();
    }
  });
  if (settled_) {  // otherwise all of them are malformed
    rename_clashes();
    const Shard::Formats shown = formats(sink);
    on_all(arrivals.size(), [&](size_t share) { shards_[share]->process(arrivals, share, shown); });
  }
  for (const auto& arrival : arrivals) {
    for (const auto& record : arrival->released) hand_out(*record, arrival->partition, sink);
    hand_out(arrival->record, arrival->partition, sink);
  }
  cutter_.release();
  update_counters();
  if (!tally_.has_used && !tally_.has_told &&
      counters_.malformed + counters_.unscored + tally_.texts >= kTellOfNothingUsed) {
    tally_.has_told = true;
    if (const std::string why = nothing_used(); !why.empty()) complain_(*arrivals.back()->record.message, why);
  }
}

// In the order of the records, because each record reserves names for all that follow.
void Engine::rename_clashes() {
  for (size_t i = 0; i < used_arrivals_; ++i) {
    PendingRecord& record = arrivals_[i]->record;
    if (!record.error.empty()) continue;
    if (record.may_clash) add_clashes(record.record, *record.message);
    record.names = names_.back().get();
    if (!other_format_) continue;
    for (const Field* field : other_format_->left_out(record.record)) {
      const bool is_time = field == record.selection.time_field || field == record.selection.clock_field;
      if (is_time || !told_.insert(std::string(field->name)).second) continue;
      complain_(*record.message,
                "field '" + std::string(field->name) +
                    "' has no column in the header that was written for the first record: it is left out");
    }
  }
}

SilenceWatch::Report Engine::report_to(Sink& sink) {
  return [this, &sink](const Silence& silence, Partition* partition) {
    if (partition) partition->changed = true;
    counters_.silences += !silence.has_ended;
    counters_.episodes += !silence.has_ended;
    Silence written = silence;
    if (partition) written.partition = partition->number;
    const std::string text =
        options_.writes_silences && sink.wants_text() && settled_ ? text_of(written) : std::string();
    written.text = text;
    sink.note(written);
  };
}

// A record with the sensor's key and the time of the event, in the form of the first record received.
std::string Engine::text_of(const Silence& silence) {
  Record first, record;
  Selection selection;
  std::string what, line, text;
  const Format& input = *cutter_.format();
  input.parse(opening_.back(), first);
  schema_.select(first, silence.key.substr(0, silence.key.find(kKeySeparator)), selection, what);
  MadeRecord made(first, selection, schema_.options());
  made.keep_only_key(silence.key);
  if (silence.time_ns) made.set_time(*silence.time_ns);
  record = made.record();
  record.line = line = input.text_of(record);
  if (other_format_) {
    schema_.select(record, {}, selection, what);
    selection.time_ns = silence.time_ns;
    take_time_out(record, selection);
  }
  silence_encoder_.encode(silence, record, *names_.back(), output(), !other_format_, text);
  return text;
}

void Engine::tick(Sink& sink) {
  if (silence_.is_on()) silence_.tick(SilenceWatch::Clock::now(), report_to(sink));
}

void Engine::use(std::shared_ptr<const AllSensorSettings> settings) {
  silence_.use(settings);
  options_.settings = std::move(settings);
}

// A record that is released ends its sensor's silence. Its time may also show that other sensors are silent.
void Engine::notice_silence(const PendingRecord& record, Partition* partition, Sink& sink) {
  if (!record.sensor) return;      // none of its numbers has been seen yet
  if (record.is_interval) return;  // its records have shown that already
  if (record.fate == PendingRecord::Fate::kHeld) return silence_.hear(record.selection.key, now_);
  silence_.see(record.selection.key, partition, record.arriving, now_, report_to(sink));
}

void Engine::hand_out(PendingRecord& record, Partition* partition, Sink& sink) {
  if (!record.error.empty()) {
    ++counters_.malformed;
    if (tally_.malformed++ == 0) tally_.first_malformed = record.error;
    return complain_(*record.message, record.error);
  }
  complain_of(record);
  if (silence_.is_on()) notice_silence(record, partition, sink);
  using Fate = PendingRecord::Fate;
  if (record.fate == Fate::kHeld || record.fate == Fate::kDuplicate || record.fate == Fate::kCollected) return;
  sink.write(record.result);
}

// Warns about oddities of a record that is still passed on.
void Engine::complain_of(const PendingRecord& record) {
  if (record.fate == PendingRecord::Fate::kHeld) return;
  if (!record.record.note.empty()) complain_(*record.message, record.record.note);
  if (record.fate == PendingRecord::Fate::kUnscored && record.lacks_value()) {
    ++counters_.missing_values;
    tally_.has_used = true;
    return;
  }
  if (record.fate == PendingRecord::Fate::kUnscored) {
    ++counters_.unscored;
    const size_t kind = static_cast<size_t>(record.unusable == Unusable::kNo ? Unusable::kNumber : record.unusable);
    if (tally_.unusable[kind]++ == 0) tally_.first[kind] = record.what.empty() ? "no field is a number" : record.what;
    const bool is_odd = record.unusable == Unusable::kKey || record.unusable == Unusable::kTime;
    if (is_odd || (record.unusable == Unusable::kValue && told_.insert(record.what).second)) {
      complain_(*record.message, record.what + ": the record is passed on without a score");
    }
    return;
  }
  for (const Value& value : record.selection.values) {
    tally_.has_used = tally_.has_used || !value.is_missing;
    if (value.is_text && value.is_missing) {
      const Field* field = record.record.find(value.name);
      const std::string what = "field '" + std::string(value.name) + "': '" +
                               std::string(field ? field->text.substr(0, 40) : "") + "' is not a number";
      if (tally_.texts++ == 0) tally_.first_text = what;
      complain_(*record.message, what + ": it is taken as missing");
    }
  }
  if (record.has_new_series && settled_ && output().has_fixed_columns()) {
    for (const Value& value : record.selection.values) {
      const std::string name = options_.prefix + std::string(value.name) + "_expected";
      if (output().has_column(record.names->of(name)) || !told_.insert(name).second) continue;
      complain_(*record.message,
                "field '" + std::string(value.name) +
                    "' has numbers from here on and is watched, but the header that was written before has no "
                    "column for its forecast; --value " +
                    std::string(value.name) + " or --output-format ndjson gives it");
    }
  }
  if (record.mixes && options_.schema.keys.empty() && told_.insert("mixes").second) {
    complain_(*record.message,
              "several records have the same time: sensors are being mixed, unless they are one; --key names the field "
              "that tells them apart");
  }
}

// Describes text of unknown format that may be a CSV header without any row. Empty if it may be a valid header.
std::string Engine::describe_odd_header() const {
  constexpr size_t kShown = 60;
  if (!format()) return {};
  const std::span<const std::string> columns = format()->columns();
  const auto& lines = cutter_.head_lines();
  const auto line = std::find_if(lines.begin(), lines.end(), [](const std::string& text) {
    return !text.starts_with('#') && text.find_first_not_of(" \t") != std::string::npos;
  });
  if (columns.size() != 1 || schema_.knows(columns.front()) || line == lines.end()) return {};
  return "nothing could be used: no record came; all there is would be a header of CSV, '" + line->substr(0, kShown) +
         "'";
}

std::string Engine::nothing_used() const {
  const uint64_t count = counters_.malformed + counters_.unscored + tally_.texts;
  if (tally_.has_used) return {};
  if (count == 0) return describe_odd_header();
  const auto most = std::max_element(tally_.unusable.begin(), tally_.unusable.end());
  const std::string fields = tally_.names.empty() ? "" : "; the first record has: " + tally_.names.substr(0, 200);
  std::string why = "nothing could be used: ";
  if (tally_.names.starts_with("\x1f\x8b"))
    return why + "the input is compressed; gunzip -c FILE | coil stream reads it";
  if (tally_.names.starts_with("PK\x03\x04"))
    return why + "the input is a zip archive or a spreadsheet; save it as CSV";
  if (*most > 0 && *most >= tally_.malformed && *most >= tally_.texts) {
    why += tally_.first[size_t(most - tally_.unusable.begin())] + fields;
    const bool is_one_column =
        std::string_view(format()->name()) == "csv" && tally_.names.find(", ") == std::string::npos;
    if (is_one_column) why += "; is its separator none of , ; | and tab?";
  } else if (tally_.texts > tally_.malformed) {
    why += tally_.first_text + fields;
  } else {
    why += tally_.first_malformed;
    if (format() && std::string_view(format()->name()) == "csv")
      why += fields + "; does a cell hold a comma that needs quotes, as a decimal comma does?";
  }
  return why;
}

void Engine::finish(Sink& sink, bool has_ended) {
  used_arrivals_ = 0;
  cuts_.clear();
  if (has_ended) cutter_.finish(cuts_);
  take_cuts(sink);
  for (const Cut& cut : cuts_) {
    Partition* partition = nullptr;
    if (is_new(*cut.message, partition) && cut.message->partition >= 0 && cut.message->offset >= 0)
      partition->next_offset = cut.message->offset + 1;
  }
  process_arrivals(sink);
  const bool has_waiting = options_.reorder_records > 0 || options_.every.exist();
  if (!options_.state.empty() || !has_waiting || !settled_) return;
  std::vector<std::unique_ptr<PendingRecord>> released;
  for (const auto& shard : shards_) shard->release_all(released, formats(sink), *names_.back());
  std::stable_sort(released.begin(), released.end(),
                   [](const auto& a, const auto& b) { return a->selection.key < b->selection.key; });
  for (const auto& record : released) hand_out(*record, whole_, sink);
  update_counters();
}

void Engine::save(const std::string& place) {
  for (const auto& [name, partition] : partitions_) save(*partition, place);
}

void Engine::save(Partition& partition, const std::string& place) {
  if (!partition.file ||
      (!partition.changed && partition.saved_offset == partition.next_offset && partition.saved_place == place))
    return;
  StateFile::Content content;
  content.position = partition.next_offset;
  content.place = place;
  content.opening = settled_ ? opening_ : cutter_.head_lines().empty() ? old_opening_ : cutter_.head_lines();
  if (!place.empty()) content.pending = old_pending_.empty() ? cutter_.pending() : old_pending_;
  content.taken_names = names_.back()->taken();
  for (const auto& shard : shards_) shard->sensors().save(*partition.file, content.pieces);
  if (silence_.is_on()) {
    for (const auto& [key, piece] : content.pieces) {
      if (!Schema::is_group(key)) content.marks.emplace(key, silence_.mark(key));
    }
  }
  partition.file->commit(content);
  partition.changed = false;
  partition.saved_offset = partition.next_offset;
  partition.saved_place = place;
  ++counters_.checkpoints;
}

PartitionHooks Engine::partition_hooks() {
  PartitionHooks hooks;
  hooks.assigned = [this](const std::string& topic, int32_t number) -> int64_t {
    const Partition& partition = open(topic, number);
    return partition.saved_offset;
  };
  hooks.revoked = [this](const std::string& topic, int32_t number) {
    const auto found = partitions_.find({topic, number});
    if (found == partitions_.end()) return;
    Partition& partition = *found->second;
    save(partition, {});
    if (partition.file) {
      for (const auto& shard : shards_) shard->sensors().drop(*partition.file);
    }
    silence_.forget(&partition);
    partitions_.erase(found);
    update_counters();
  };
  return hooks;
}

void Engine::report_saved(Source& source) const {
  for (const auto& [place, partition] : partitions_) {
    if (place.second >= 0 && partition->saved_offset >= 0)
      source.saved(place.first, place.second, partition->saved_offset);
  }
}

void Engine::update_counters() {
  uint64_t sensors = 0, series = 0, restarts = 0, stretches = 0;
  for (const auto& shard : shards_) {
    sensors += shard->sensors().count(), series += shard->sensors().resident_series();
    restarts += shard->sensors().batch().restarts(), stretches += shard->sensors().batch().stretches();
  }
  counters_.sensors = sensors;
  counters_.series = series;
  counters_.restarts = restarts;
  counters_.stretches = stretches;
}

}  // namespace coil::sensor
