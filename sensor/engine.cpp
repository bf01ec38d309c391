// Takes messages in, has the shards process them, hands results out; keeps the positions that states stand for.
#include "sensor/engine.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sensor/shard.h"

namespace coil::sensor {
namespace {

constexpr size_t kItemsWorthThreads = 16;  // below, waking the others takes longer than the work
constexpr size_t kItemsAtOnce = 4096;      // results are handed out after so many
constexpr size_t kLeastAtOnce = 64;
constexpr uint64_t kTellOfNothingUsed = 20;             // records: so many and none of use is no accident
constexpr std::chrono::milliseconds kLongestWait{250};  // until `stop` is asked again

std::string readable(const std::string& key) {
  const size_t first = std::min(key.find_first_not_of(kKeySeparator), key.size());
  std::string text;
  if (key.find(kKeySeparator, first) == std::string::npos) {
    text.assign(key, first);
  } else {
    for (const char c : key) {
      if (c != kKeySeparator)
        text += c;
      else if (!text.empty() && text.back() != '/')
        text += '/';
    }
  }
  if (text.ends_with('/')) text.pop_back();
  return text;
}

Message result_of(Work& work) {
  return {work.message->topic, std::move(work.output), work.message->partition, work.message->offset,
          readable(work.selection.key)};
}

std::string identity_of(const ssm::Model& model) {
  return "model " + model.hash() + " with " + std::to_string(model.state_layout()->size * sizeof(float)) + " + " +
         std::to_string(sizeof(SeriesMemory)) + " bytes a series and " + std::to_string(sizeof(SensorMemory)) +
         " a sensor";
}

}  // namespace

// A source of messages with places of their own: one of a partitioned source, or all of a pipe.
struct Engine::Partition {
  int64_t next_offset = 0;          // of the first message that was not processed
  std::unique_ptr<StateFile> file;  // null: nothing is kept
  bool changed = false;             // since it was saved
  int64_t saved_offset = -1;
  std::string saved_place;
};

size_t Engine::bytes_per_series(const ssm::Model& model) {
  return model.state_layout()->size * sizeof(float) + sizeof(Sensor) + sizeof(Series) + sizeof(void*);
}

double Engine::macs_per_step() const { return shards_.front()->macs_per_step(); }

void Engine::check_forecaster(const ssm::Model& model) {
  const auto refuse = [&](const std::string& what) {
    throw Error(model.source() + ": is no forecaster of sensor data: " + what);
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
      pool_(std::max<size_t>(1, options_.threads)) {
  names_.push_back(std::make_unique<AddedNames>());
  check_forecaster(*model_);
  const size_t threads = pool_.size(),
               bound = options_.max_series == 0 ? 0 : std::max<size_t>(1, options_.max_series / threads);
  for (size_t i = 0; i < threads; ++i)
    shards_.push_back(std::make_unique<Shard>(model_, options_, schema_, counters_, bound));
  if (options_.state.empty() && bound > 0) {
    StateFile::Content nothing;
    overflow_ = std::make_unique<StateFile>("", identity_of(*model_), nothing);
  }
  if (!options_.partitioned) whole_ = &open("", -1);
  if (options_.resume) recall_opening();
}
Engine::~Engine() = default;

Engine::Partition& Engine::open(const std::string& topic, int32_t number) {
  std::unique_ptr<Partition>& partition = partitions_[{topic, number}];
  if (partition) return *partition;
  partition = std::make_unique<Partition>();
  if (options_.state.empty()) return *partition;
  std::filesystem::path path = options_.state;
  if (number >= 0) {
    std::string name = "." + topic + "." + std::to_string(number);
    std::replace(name.begin(), name.end(), '/', '_');
    path += name;
  }
  StateFile::Content content;
  partition->file = std::make_unique<StateFile>(path, identity_of(*model_), content);
  partition->next_offset = content.position;
  partition->saved_offset = content.pieces.empty() && content.position == 0 ? -1 : content.position;
  partition->saved_place = content.place;
  if (number < 0) {
    place_ = std::move(content.place), old_opening_ = std::move(content.opening);
    has_state_ = !content.pieces.empty();
    if (options_.resume) old_pending_ = std::move(content.pending);
  }
  for (const auto& [key, piece] : content.pieces) {
    shards_[std::hash<std::string>()(key) % shards_.size()]->add_stored(key, *partition->file, piece);
  }
  if (!content.taken_names.empty()) {
    std::vector<std::string> taken = names_.back()->taken();
    taken.insert(taken.end(), content.taken_names.begin(), content.taken_names.end());
    names_.push_back(std::make_unique<AddedNames>(taken));
  }
  update_counters();
  return *partition;
}

// Whether its results were not given before; and whose it is.
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

// At the first record that can be read: the format and the header of the output.
void Engine::settle(const Message& message, bool is_new, std::vector<Message>& results) {
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
  // Without any number in the first record, whatever is not key or time may become one.
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
  if (header && is_new) results.push_back({{}, *header});
  names_are_fixed_ = output().has_fixed_columns();
}

// From here on what is added has other names than the record's own.
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

void Engine::on_all(size_t items, const std::function<void(size_t share)>& task) {
  if (items >= kItemsWorthThreads) return pool_.run(task);
  for (size_t share = 0; share < pool_.size(); ++share) task(share);
}

void Engine::process(std::span<const Message> messages, std::vector<Message>& results) {
  // What one call brings into memory stays there until it ends.
  const size_t at_once =
      options_.max_series == 0 ? kItemsAtOnce : std::clamp(options_.max_series, kLeastAtOnce, kItemsAtOnce);
  for (; messages.size() > at_once; messages = messages.subspan(at_once)) process(messages.first(at_once), results);
  used_items_ = 0;
  const std::vector<Message> pending = std::exchange(old_pending_, {});
  for (const Message& message : pending) take_in(message, results);
  for (const Message& message : messages) take_in(message, results);
  process_items(results);
}

// What comes is under the head that the state knows, and the header of the results was written.
void Engine::recall_opening() {
  cuts_.clear();
  cutter_.recall(std::exchange(old_opening_, {}), cuts_);
  std::vector<Message> nothing;
  for (const Cut& cut : cuts_) {
    if (!settled_ && cut.error.empty()) settle(*cut.message, false, nothing);
  }
  cuts_.clear();
  cutter_.release();
}

// Cuts a message into records and makes items of those whose results were not given before.
void Engine::take_in(const Message& message, std::vector<Message>& results) {
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
  take_cuts(results);
  if (fresh && message.partition >= 0 && message.offset >= 0 && cutter_.is_between_records())
    partition->next_offset = message.offset + 1;
}

void Engine::take_cuts(std::vector<Message>& results) {
  for (Cut& cut : cuts_) {
    Partition* partition = nullptr;
    const bool fresh = is_new(*cut.message, partition);
    if (!settled_ && cut.error.empty()) settle(*cut.message, fresh, results);
    if (!fresh) continue;
    partition->changed = true;
    if (used_items_ == items_.size()) items_.push_back(std::make_unique<Item>());
    Item& item = *items_[used_items_++];
    item.file = partition->file ? partition->file.get() : overflow_.get();
    item.released.clear();
    item.work.message = cut.message;
    item.work.error = std::move(cut.error);
    item.work.status = Work::Status::normal;
    item.work.unusable = Unusable::kNo;
    item.work.sensor = nullptr;
  }
}

void Engine::process_items(std::vector<Message>& results) {
  if (used_items_ == 0) return cutter_.release();
  const std::span<const std::unique_ptr<Item>> items(items_.data(), used_items_);
  on_all(items.size(), [&](size_t share) {
    for (size_t i = items.size() * share / pool_.size(); i < items.size() * (share + 1) / pool_.size(); ++i) {
      Work& work = items[i]->work;
      if (work.error.empty()) work.error = cutter_.format()->parse(work.message->text, work.record);
      if (!work.error.empty()) continue;
      work.unusable = schema_.select(work.record, work.message->topic, work.selection, work.what);
      work.may_clash = may_clash(work.record, options_.prefix);
      items[i]->shard = work.unusable == Unusable::kNo ? std::hash<std::string>()(work.selection.key) % shards_.size()
                                                       : i % shards_.size();
    }
  });
  if (settled_) {  // else all of them are malformed
    rename_clashes();
    on_all(items.size(), [&](size_t share) { shards_[share]->process(items, share, *cutter_.format(), output()); });
  }
  for (const auto& item : items) {
    for (const auto& work : item->released) hand_out(*work, results);
    hand_out(item->work, results);
  }
  cutter_.release();
  update_counters();
  if (!tally_.has_used && !tally_.has_told &&
      counters_.malformed + counters_.unscored + tally_.texts >= kTellOfNothingUsed) {
    tally_.has_told = true;
    if (const std::string why = nothing_used(); !why.empty()) complain_(*items.back()->work.message, why);
  }
}

// In the order of the records, because each takes names from all that follow.
void Engine::rename_clashes() {
  for (size_t i = 0; i < used_items_; ++i) {
    Work& work = items_[i]->work;
    if (!work.error.empty()) continue;
    if (work.may_clash) add_clashes(work.record, *work.message);
    work.names = names_.back().get();
    if (!other_format_) continue;
    for (const Field* field : other_format_->left_out(work.record)) {
      const bool is_time = field == work.selection.time_field || field == work.selection.clock_field;
      if (is_time || !told_.insert(std::string(field->name)).second) continue;
      complain_(*work.message,
                "field '" + std::string(field->name) +
                    "' has no column in the header that was written for the first record: it is left out");
    }
  }
}

void Engine::hand_out(Work& work, std::vector<Message>& results) {
  if (!work.error.empty()) {
    ++counters_.malformed;
    if (tally_.malformed++ == 0) tally_.first_malformed = work.error;
    return complain_(*work.message, work.error);
  }
  complain_of(work);
  if (work.status == Work::Status::held || work.status == Work::Status::dropped) return;
  results.push_back(result_of(work));
}

// What is odd about a record that comes out all the same.
void Engine::complain_of(const Work& work) {
  if (work.status == Work::Status::held) return;
  if (!work.record.note.empty()) complain_(*work.message, work.record.note);
  if (work.status == Work::Status::unscored && work.lacks_value()) {
    ++counters_.missing_values;
    tally_.has_used = true;
    return;
  }
  if (work.status == Work::Status::unscored) {
    ++counters_.unscored;
    const size_t kind = static_cast<size_t>(work.unusable == Unusable::kNo ? Unusable::kNumber : work.unusable);
    if (tally_.unusable[kind]++ == 0) tally_.first[kind] = work.what.empty() ? "no field is a number" : work.what;
    const bool is_odd = work.unusable == Unusable::kKey || work.unusable == Unusable::kTime;
    if (is_odd || (work.unusable == Unusable::kValue && told_.insert(work.what).second)) {
      complain_(*work.message, work.what + ": the record comes out without a score");
    }
    return;
  }
  for (const Value& value : work.selection.values) {
    tally_.has_used = tally_.has_used || !value.is_missing;
    if (value.is_text && value.is_missing) {
      const Field* field = work.record.find(value.name);
      const std::string what = "field '" + std::string(value.name) + "': '" +
                               std::string(field ? field->text.substr(0, 40) : "") + "' is no number";
      if (tally_.texts++ == 0) tally_.first_text = what;
      complain_(*work.message, what + ": it is taken as missing");
    }
  }
  if (work.has_new_series && settled_ && output().has_fixed_columns()) {
    for (const Value& value : work.selection.values) {
      const std::string name = options_.prefix + std::string(value.name) + "_expected";
      if (output().has_column(work.names->of(name)) || !told_.insert(name).second) continue;
      complain_(*work.message,
                "field '" + std::string(value.name) +
                    "' has numbers from here on and is watched, but the header that was written before has no "
                    "column for its forecast; --value " +
                    std::string(value.name) + " or --output-format ndjson gives it");
    }
  }
  if (work.mixes && options_.schema.keys.empty() && told_.insert("mixes").second) {
    complain_(*work.message,
              "several records have the same time: sensors are being mixed, unless they are one; --key names the field "
              "that tells them apart");
  }
}

std::string Engine::nothing_used() const {
  const uint64_t count = counters_.malformed + counters_.unscored + tally_.texts;
  if (tally_.has_used || count == 0) return {};
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
    if (is_one_column) why += "; is what stands between its cells none of , ; | and tab?";
  } else if (tally_.texts > tally_.malformed) {
    why += tally_.first_text + fields;
  } else {
    why += tally_.first_malformed;
    if (format() && std::string_view(format()->name()) == "csv")
      why += fields + "; does a cell hold a comma that needs quotes, as a decimal comma does?";
  }
  return why;
}

void Engine::finish(std::vector<Message>& results, bool has_ended) {
  used_items_ = 0;
  cuts_.clear();
  if (has_ended) cutter_.finish(cuts_);
  take_cuts(results);
  for (const Cut& cut : cuts_) {
    Partition* partition = nullptr;
    if (is_new(*cut.message, partition) && cut.message->partition >= 0 && cut.message->offset >= 0)
      partition->next_offset = cut.message->offset + 1;
  }
  process_items(results);
  if (!options_.state.empty() || options_.reorder_records == 0 || !settled_) return;
  std::vector<std::unique_ptr<Work>> works;
  for (const auto& shard : shards_) shard->release_all(works, *cutter_.format(), output(), *names_.back());
  std::stable_sort(works.begin(), works.end(),
                   [](const auto& a, const auto& b) { return a->selection.key < b->selection.key; });
  for (const auto& work : works) hand_out(*work, results);
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
  for (const auto& shard : shards_) shard->save(*partition.file, content.pieces);
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
      for (const auto& shard : shards_) shard->drop(*partition.file);
    }
    partitions_.erase(found);
    update_counters();
  };
  return hooks;
}

void Engine::report_saved(Link& link) const {
  for (const auto& [place, partition] : partitions_) {
    if (place.second >= 0 && partition->saved_offset >= 0)
      link.saved(place.first, place.second, partition->saved_offset);
  }
}

void Engine::update_counters() {
  uint64_t sensors = 0, series = 0, restarts = 0, stretches = 0;
  for (const auto& shard : shards_) {
    sensors += shard->sensors(), series += shard->resident_series();
    restarts += shard->restarts(), stretches += shard->stretches();
  }
  counters_.sensors = sensors;
  counters_.series = series;
  counters_.restarts = restarts;
  counters_.stretches = stretches;
}

void run(Engine& engine, Link& source, Link& sink, const CheckpointPace& pace, const std::function<bool()>& stop) {
  using Clock = std::chrono::steady_clock;
  source.set_partition_hooks(engine.partition_hooks());
  std::vector<Message> messages, results;
  const auto write_out = [&] {
    for (const Message& result : results) sink.write(result);
    sink.flush();
    if (&source != &sink) source.flush();
    results.clear();
  };
  size_t done = 0;  // of `messages`
  bool is_first = true, more = true;
  const auto save = [&] {
    if (!engine.keeps_state()) return;
    engine.save(source.place_after(done));
    engine.report_saved(source);
  };
  uint64_t saved_records = engine.counters().records;
  auto saved_at = Clock::now();
  while (more && !stop()) {
    auto wait = kLongestWait;
    if (pace.interval.count() > 0) {
      const auto until_due =
          std::chrono::duration_cast<std::chrono::milliseconds>(saved_at + pace.interval - Clock::now());
      wait = std::clamp(until_due, std::chrono::milliseconds(0), wait);
    }
    messages.clear();
    done = 0;
    more = source.read(messages, wait);
    if (std::exchange(is_first, false) && !source.place_after(0).empty())
      save();  // that a new start can tell what is new from what was there
    // In pieces, so that results are out and checkpoints due while many records wait.
    for (std::span<const Message> left = messages; !left.empty();) {
      size_t count = std::min(left.size(), kItemsAtOnce);
      if (pace.records > 0) {
        const uint64_t due = saved_records + pace.records, now = engine.counters().records;
        count = std::min<uint64_t>(count, due > now ? due - now : 1);
      }
      engine.process(left.first(count), results);
      write_out();
      left = left.subspan(count);
      done += count;
      const bool due = (pace.records > 0 && engine.counters().records >= saved_records + pace.records) ||
                       (pace.interval.count() > 0 && Clock::now() >= saved_at + pace.interval);
      if (!due) continue;
      save();
      saved_records = engine.counters().records;
      saved_at = Clock::now();
    }
    if (messages.empty() && pace.interval.count() > 0 && Clock::now() >= saved_at + pace.interval)
      save(), saved_at = Clock::now();
  }
  const bool goes_on_later = more && engine.keeps_state() && !source.place_after(0).empty();
  engine.finish(results, !goes_on_later);
  write_out();
  save();
}

}  // namespace coil::sensor
