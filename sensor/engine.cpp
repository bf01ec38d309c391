// Takes messages in, has the shards process them, hands results out; keeps the positions that states stand for.
#include "sensor/engine.h"

#include <algorithm>
#include <array>

#include "sensor/shard.h"

namespace coil::sensor {
namespace {

constexpr size_t kItemsWorthThreads = 16;  // below, waking the others takes longer than the work
constexpr size_t kItemsAtOnce = 4096;      // results are handed out after so many
constexpr size_t kLeastAtOnce = 64;
constexpr std::chrono::milliseconds kLongestWait{250};  // until `stop` is asked again

// Empty lines, and the line protocol's comments.
bool is_no_record(std::string_view text) { return text.find_first_not_of(" \t\r") == std::string_view::npos || text.starts_with('#'); }

std::string readable(const std::string& key) {
  std::string text;
  for (const char c : key) {
    if (c != kKeySeparator) text += c;
    else if (!text.empty() && text.back() != '/') text += '/';
  }
  if (text.ends_with('/')) text.pop_back();
  return text;
}

Message result_of(Work& work) {
  return {work.message->topic, std::move(work.output), work.message->partition, work.message->offset, readable(work.selection.key)};
}

std::string identity_of(const ssm::Model& model) {
  return "model " + model.hash() + " with " + std::to_string(model.state_layout()->size * sizeof(float)) + " + " +
         std::to_string(sizeof(SeriesMemory)) + " bytes a series";
}

}  // namespace

// A source of messages with places of their own: one of a partitioned source, or all of a pipe.
struct Engine::Partition {
  int64_t next_offset = 0;         // of the first message that was not processed, where it is a real partition
  std::unique_ptr<StateFile> file; // null: nothing is kept
  bool changed = false;            // since it was saved
  int64_t saved_offset = -1;
  std::string saved_place;
};

size_t Engine::bytes_per_series(const ssm::Model& model) {
  return model.state_layout()->size * sizeof(float) + sizeof(Sensor) + sizeof(Series) + sizeof(void*);
}

double Engine::macs_per_step() const { return shards_.front()->macs_per_step(); }

void Engine::check_forecaster(const ssm::Model& model) {
  const auto refuse = [&](const std::string& what) { throw Error(model.source() + ": is no forecaster of sensor data: " + what); };
  if (model.card().task != "forecast") refuse("its card's task is '" + model.card().task + "', wanted is 'forecast'");
  if (model.config().input_kind != ssm::InputKind::frames || model.config().d_input != int(kFrameWidth))
    refuse("d_input must be " + std::to_string(kFrameWidth));
  if (model.config().d_output != int(kHorizons * kQuantiles)) refuse("d_output must be " + std::to_string(kHorizons * kQuantiles));
  normaliser_window(model);
}

Engine::Engine(std::shared_ptr<const ssm::Model> model, EngineOptions options, Complaint complain)
    : model_(std::move(model)), options_(std::move(options)), complain_(std::move(complain)), schema_(options_.schema),
      pool_(std::max<size_t>(1, options_.threads)) {
  check_forecaster(*model_);
  const size_t threads = pool_.size(), bound = options_.max_series == 0 ? 0 : std::max<size_t>(1, options_.max_series / threads);
  for (size_t i = 0; i < threads; ++i) shards_.push_back(std::make_unique<Shard>(model_, options_, schema_, counters_, bound));
  if (options_.state.empty() && bound > 0) {
    StateFile::Content nothing;
    overflow_ = std::make_unique<StateFile>("", identity_of(*model_), nothing);
  }
  if (!options_.partitioned) open("", -1);
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
  }
  for (const auto& [key, piece] : content.pieces) {
    shards_[std::hash<std::string>()(key) % shards_.size()]->add_stored(key, *partition->file, piece);
  }
  update_counters();
  return *partition;
}

// Whether its results were not given before; and whose it is.
bool Engine::is_new(const Message& message, Partition*& partition) {
  const auto found = partitions_.find(message.partition < 0 ? std::pair<std::string, int32_t>("", -1) : std::pair(message.topic, message.partition));
  if (found == partitions_.end()) return false;  // revoked in the meantime
  partition = found->second.get();
  if (message.partition < 0) return !message.is_known;
  return message.offset >= partition->next_offset;
}

// Until the first good record came: formats, columns, header. Whether the line was taken as a header.
bool Engine::settle(const Message& message, bool is_new, std::vector<Message>& results) {
  if (is_no_record(message.text)) return false;
  if (!format_) {
    format_ = options_.input_format.empty() ? detect_format(message.text) : make_format(options_.input_format);
    if (!options_.output_format.empty() && options_.output_format != format_->name()) other_format_ = make_format(options_.output_format);
  }
  if (format_->take_header(message.text)) {
    opening_.push_back(message.text);
    return true;
  }
  Record record;
  Selection selection;
  if (!format_->parse(message.text, record).empty()) return false;
  if (std::string_view(format_->name()) == "csv") schema_.fix_values(record);
  if (!schema_.select(record, message.topic, selection).empty()) return false;
  const std::vector<std::string> names = added_names(options_, selection);
  std::vector<Added> added;
  for (const std::string& name : names) {
    if (record.find(name)) throw Error("the records have a field '" + name + "' already; --prefix gives the added fields other names");
    added.push_back({name, Field::Kind::null, 0, {}});
  }
  if (other_format_ && selection.time_field) {
    record.time_ns = selection.time_ns;
    record.fields.erase(record.fields.begin() + (selection.time_field - record.fields.data()));
  }
  const std::optional<std::string> header = (other_format_ ? *other_format_ : *format_).header(record, added);
  if (header && is_new) results.push_back({{}, *header});
  opening_.push_back(message.text);
  settled_ = true;
  return false;
}

// What comes means what the lines of the state said.
void Engine::recall_opening() {
  std::vector<Message> nothing;
  for (std::string& line : std::exchange(old_opening_, {})) {
    if (!settled_) settle({.topic = {}, .text = std::move(line), .is_known = true}, false, nothing);
  }
}

// Whether it is a row under the header of the state, as when a pipe begins inside of a file.
bool Engine::continues_opening(const Message& message) const {
  if (old_opening_.empty()) return false;
  const std::unique_ptr<Format> now = options_.input_format.empty() ? detect_format(message.text) : make_format(options_.input_format);
  const std::unique_ptr<Format> before = options_.input_format.empty() ? detect_format(old_opening_.front()) : make_format(options_.input_format);
  if (std::string_view(now->name()) != before->name() || !before->take_header(old_opening_.front())) return false;
  return before->is_row(message.text);
}

// Deals with the headers of CSV files behind the first. Whether the message is a record, for which `moved` stands if it has a text.
bool Engine::take_headers(const Message& message, bool is_new, Message& moved) {
  moved.text.clear();
  if (!format_ || format_->columns().empty()) return true;
  std::string text, what;
  const FileHeaders::Line line = headers_.take(*format_, message, text, what);
  if (!what.empty() && is_new) complain_(message, what);
  if (line == FileHeaders::Line::kMalformed && is_new) ++counters_.malformed;
  if (line == FileHeaders::Line::kMoved) moved = message, moved.text = std::move(text);
  return line == FileHeaders::Line::kAsItIs || line == FileHeaders::Line::kMoved;
}

void Engine::on_all(size_t items, const std::function<void(size_t share)>& task) {
  if (items >= kItemsWorthThreads) return pool_.run(task);
  for (size_t share = 0; share < pool_.size(); ++share) task(share);
}

void Engine::process(std::span<const Message> messages, std::vector<Message>& results) {
  // What one call brings into memory stays there until it ends.
  const size_t at_once = options_.max_series == 0 ? kItemsAtOnce : std::clamp(options_.max_series, kLeastAtOnce, kItemsAtOnce);
  for (; messages.size() > at_once; messages = messages.subspan(at_once)) process(messages.first(at_once), results);

  size_t used = 0;
  std::vector<Partition*> touched;
  for (const Message& message : messages) {
    Partition* partition = nullptr;
    const bool fresh = is_new(message, partition);
    const bool is_blank = is_no_record(message.text);
    if (!is_blank && !old_opening_.empty()) {
      if (continues_opening(message)) recall_opening();
      old_opening_.clear();
    }
    if (message.begins_file && settled_) headers_.begin(message.file);
    Message moved;
    const bool is_record = !is_blank && take_headers(message, fresh, moved);
    const Message& record = moved.text.empty() ? message : moved;
    const bool is_header = is_record && !settled_ && settle(record, fresh, results);
    if (!fresh) {
      if (!message.is_known) ++counters_.skipped;
      continue;
    }
    if (message.partition >= 0) partition->next_offset = message.offset + 1;
    if (is_header || !is_record) continue;
    partition->changed = true;
    if (used == items_.size()) items_.push_back(std::make_unique<Item>());
    Item& item = *items_[used++];
    item.file = partition->file ? partition->file.get() : overflow_.get();
    item.released.clear();
    if (!moved.text.empty()) item.work.own = std::move(moved);
    item.work.message = &record == &message ? &message : &item.work.own;
    item.work.error.clear();
    item.work.status = Work::Status::normal;
  }
  if (used == 0) return;
  const std::span<const std::unique_ptr<Item>> items(items_.data(), used);

  on_all(used, [&](size_t share) {
    for (size_t i = used * share / pool_.size(); i < used * (share + 1) / pool_.size(); ++i) {
      Item& item = *items[i];
      item.work.error = format_->parse(item.work.message->text, item.work.record);
      if (item.work.error.empty()) item.work.error = schema_.select(item.work.record, item.work.message->topic, item.work.selection);
      if (item.work.error.empty()) item.shard = std::hash<std::string>()(item.work.selection.key) % shards_.size();
    }
  });
  on_all(used, [&](size_t share) { shards_[share]->process(items, share, *format_, output()); });

  for (const auto& item : items) {
    const auto hand_out = [&](Work& work) {
      if (work.status == Work::Status::held || work.status == Work::Status::dropped) return;
      results.push_back(result_of(work));
    };
    if (!item->work.error.empty()) {
      ++counters_.malformed;
      complain_(*item->work.message, item->work.error);
      continue;
    }
    hand_out(item->work);
    for (const auto& work : item->released) hand_out(*work);
  }
  update_counters();
}

void Engine::finish(std::vector<Message>& results) {
  if (!options_.state.empty() || options_.reorder_records == 0 || !format_) return;
  std::vector<std::unique_ptr<Work>> works;
  for (const auto& shard : shards_) shard->release_all(works, *format_, output());
  std::stable_sort(works.begin(), works.end(), [](const auto& a, const auto& b) { return a->selection.key < b->selection.key; });
  for (const auto& work : works) {
    if (work->status != Work::Status::dropped) results.push_back(result_of(*work));
  }
  update_counters();
}

void Engine::save(const std::string& place) {
  for (const auto& [name, partition] : partitions_) save(*partition, place);
}

void Engine::save(Partition& partition, const std::string& place) {
  if (!partition.file || (!partition.changed && partition.saved_offset == partition.next_offset && partition.saved_place == place)) return;
  StateFile::Content content;
  content.position = partition.next_offset;
  content.place = place;
  content.opening = settled_ ? opening_ : old_opening_;
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
    if (place.second >= 0 && partition->saved_offset >= 0) link.saved(place.first, place.second, partition->saved_offset);
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
  bool is_first = true;
  const auto save = [&] {
    if (!engine.keeps_state()) return;
    engine.save(source.place_after(done));
    engine.report_saved(source);
  };
  uint64_t saved_records = engine.counters().records;
  auto saved_at = Clock::now();
  for (bool more = true; more && !stop();) {
    auto wait = kLongestWait;
    if (pace.interval.count() > 0) {
      const auto until_due = std::chrono::duration_cast<std::chrono::milliseconds>(saved_at + pace.interval - Clock::now());
      wait = std::clamp(until_due, std::chrono::milliseconds(0), wait);
    }
    messages.clear();
    done = 0;
    more = source.read(messages, wait);
    if (std::exchange(is_first, false) && !source.place_after(0).empty()) save();  // that a new start can tell what is new from what was there
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
    if (messages.empty() && pace.interval.count() > 0 && Clock::now() >= saved_at + pace.interval) save(), saved_at = Clock::now();
  }
  engine.finish(results);
  write_out();
  save();
}

}  // namespace coil::sensor
