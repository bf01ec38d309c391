// A part of the sensors and the StreamBatch that their series live in. What waits is stepped together, block by block.
#pragma once

#include <list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sensor/engine.h"
#include "sensor/sensor.h"
#include "ssm/run/stream_batch.h"

namespace coil::sensor {

// A record on its way through a shard.
struct Work {
  Message own;                       // of a record that was held; else empty
  const Message* message = nullptr;  // its text, place and topic
  Record record;
  Selection selection;
  std::string error;                  // not empty: malformed
  Unusable unusable = Unusable::kNo;  // why it cannot be scored; `what`: in words
  std::string what;
  bool may_clash = false;
  const AddedNames* names = nullptr;

  enum class Status { normal, late, future, dropped, held, unscored };
  Status status = Status::normal;
  bool has_new_series = false, mixes = false;  // mixes: of one time with another record of the same series
  // A value is missing of a series that is not known yet.
  bool lacks_value() const {
    return selection.lacks_value && (unusable == Unusable::kNo || unusable == Unusable::kNumber);
  }
  Sensor* sensor = nullptr;
  size_t first_job = 0, jobs = 0;
  std::string output;
};

// A message, and the records that it sends on their way: itself, or those that it moves out of the reorder window.
struct Item {
  Work work;
  StateFile* file = nullptr;  // of its partition
  size_t shard = 0;
  std::vector<std::unique_ptr<Work>> released;  // before its own
};

// What a result says of a forecast.
struct Expected {
  bool exists = false;
  double median = 0, low = 0, high = 0;

  static Expected of(const QuantileForecast& forecast) {
    return forecast.exists() ? Expected{true, forecast.median(), forecast.low(), forecast.high()} : Expected();
  }
};

// One step of one series, after the missing ones before it.
struct Job {
  Series* series;
  double value;
  bool is_missing;
  int masked_steps;  // to be taken before
  float interval;
  bool forget;  // what was forecast before does not hold
  Gap gap;
  size_t next;  // of the same series; kNoJob: none
  Expected expected;
  Assessment assessment;
};

// A step that is part of the block.
struct Step {
  size_t job;
  bool is_last;           // of the job: no masked one
  LastSeen before;        // of the normaliser, before the step
  Normaliser normaliser;  // as it was after it
};

class Shard {
 public:
  Shard(std::shared_ptr<const ssm::Model> model, const EngineOptions& options, const Schema& schema, Counters& counters,
        size_t max_series);
  ~Shard();

  // Those of the items that are this shard's, in their order. [any thread]
  void process(std::span<const std::unique_ptr<Item>> items, size_t shard, const Format& input, const Format& output);
  // Appends what the reorder windows hold. [main-thread]
  void release_all(std::vector<std::unique_ptr<Work>>& works, const Format& input, const Format& output,
                   const AddedNames& names);

  // A sensor that lies in `file`. [main-thread]
  void add_stored(const std::string& key, StateFile& file, const Piece& piece);
  // Writes what changed since the last time, and names the pieces of all sensors of `file`. [main-thread]
  void save(StateFile& file, std::map<std::string, Piece>& pieces);
  void drop(const StateFile& file);  // [main-thread]

  size_t sensors() const { return entries_.size(); }
  size_t resident_series() const { return resident_series_; }
  uint64_t restarts() const { return batch_.restarts(); }
  uint64_t stretches() const { return batch_.stretches(); }
  double macs_per_step() const { return batch_.macs_per_frame(); }

 private:
  struct Names;
  struct Entry;
  using Entries = std::unordered_map<std::string, Entry>;

  Entries::value_type& entry(const std::string& key, StateFile* file);
  Series& series(Sensor& sensor, std::string_view field);
  uint32_t take_slot();
  void accept(Item& item, const Format& input);
  void release(Item& item, size_t left, const Format& input);
  bool has_value(const Work& work, StateFile* file);
  void choose_values(Work& work);
  void plan(Work& work);
  bool is_duplicate(const Sensor& sensor, const Selection& selection, uint64_t record_hash) const;
  bool is_on_time(Work& work);
  Pace pace(const Sensor& sensor, const Selection& selection) const;
  void run_jobs();
  void add_step(size_t job, bool is_last);
  void run_block();
  void finish_step(const Step& step, std::span<const float> outputs);
  static void judge(Job& job, const LastSeen& before);
  void conclude(Work& work, const Format& output, bool as_it_came);
  const Names& names(size_t place, std::string_view field);
  void evict();
  Bytes pack(const Sensor& sensor);
  std::unique_ptr<Sensor> unpack(const Bytes& bytes);
  void discard(Entry& entry);

  std::shared_ptr<const ssm::Model> model_;
  const EngineOptions& options_;
  const Schema& schema_;
  Counters& counters_;
  size_t max_series_;
  int window_;
  std::string score_name_, status_name_, episode_name_;
  HorizonRows horizon_rows_;
  ssm::StreamBatch batch_;  // of what horizon_rows_ holds
  ssm::State scratch_;
  std::vector<uint32_t> free_slots_;
  Entries entries_;
  std::list<Entries::value_type*> by_age_;  // resident ones, the one that was idle longest first
  size_t resident_series_ = 0;
  std::unordered_map<std::string, std::unique_ptr<Names>> names_;
  std::vector<const Names*>
      last_names_;  // of each place among a record's values: the next record's are likely the same

  // Of the items that are processed.
  std::vector<Job> jobs_;
  std::vector<QuantileForecast> ahead_;  // (jobs, horizons)
  std::vector<Series*> waiting_;         // that have jobs, by their first
  std::vector<Added> added_;
  std::vector<Work*> works_;

  // Of a block.
  std::vector<Step> steps_;
  std::vector<ssm::StreamBatch::Advance> advances_;
  std::vector<float> frames_, outputs_;
};

// The names of what results add, for a first record with these values.
std::vector<std::string> added_names(const EngineOptions& options, std::span<const std::string_view> values);

// Every format writes times in its own place: the record's time, and no field for it any more.
void take_time_out(Record& record, Selection& selection);

// The number of observations that a forecaster's running means look back over, of its card.
int normaliser_window(const ssm::Model& model);

}  // namespace coil::sensor
