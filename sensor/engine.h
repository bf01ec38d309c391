// Records in, results out: runs any number of sensors through one forecaster, with checkpoints, counters and warnings.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "sensor/formats/added_names.h"
#include "sensor/formats/format.h"
#include "sensor/formats/file_cutters.h"
#include "sensor/engine/counters.h"
#include "sensor/engine/engine_options.h"
#include "sensor/links/sink.h"
#include "sensor/links/source.h"
#include "sensor/engine/shard.h"
#include "sensor/state/state_file.h"
#include "sensor/engine/worker_pool.h"
#include "ssm/run/model.h"

namespace coil::sensor {

// One thread at a time. Results do not depend on how messages are grouped into calls, nor on the number of threads.
class Engine {
 public:
  using Complaint = std::function<void(const Message&, const std::string& what)>;

  // Throws Error if the model is not a forecaster, or if the state is damaged, belongs to another model, or is in use.
  // `complain` is called for each malformed or odd record, in order. [main-thread]
  Engine(std::shared_ptr<const ssm::Model> model, EngineOptions options, Complaint complain);
  ~Engine();

  // Passes the results of these messages to the sink, in order. Throws Error if a sensor cannot be written to disk or
  // read back, or if the input is CSV with an unusable header. [main-thread]
  void process(std::span<const Message> messages, Sink& sink);
  // For the time while no record arrives: reports the sensors whose records are overdue. [main-thread]
  void tick(Sink& sink);
  // Ends the input: delivers the results of the records in the reorder windows; with a state, those records stay there
  // and wait. `has_ended`: the source has ended, so that an incomplete record ends too. [main-thread]
  void finish(Sink& sink, bool has_ended = true);

  // Writes a checkpoint of everything processed; does nothing without a state. `place`: the position in the source, if
  // the source has positions. Throws Error. [main-thread]
  void save(const std::string& place = {});
  bool keeps_state() const { return !options_.state.empty(); }
  // The source position of the state found at the start; empty: none. [main-thread]
  const std::string& place() const { return place_; }
  bool has_state() const { return has_state_; }
  // For a partitioned source: each partition has its own state files beside options.state. [main-thread]
  PartitionHooks partition_hooks();
  // Tells the source which messages the last checkpoint covers. [main-thread]
  void report_saved(Source& source) const;

  // Replaces the settings of single sensors, from the next record on. Null: none. [main-thread]
  void use(std::shared_ptr<const AllSensorSettings> settings);
  const AllSensorSettings* settings() const { return options_.settings.get(); }

  const Counters& counters() const { return counters_; }
  const Format* format() const { return cutter_.format(); }  // of the input; null: no input yet
  // The likely cause if records arrived and none was usable; else empty. [main-thread]
  std::string nothing_used() const;
  const ssm::Model& model() const { return *model_; }
  // Multiply-adds of the model per step of a series, with the forecasts in use.
  double macs_per_step() const;

  // Memory per series: the model's state and the other memory of the series. [any thread]
  static size_t bytes_per_series(const ssm::Model& model);
  // Throws Error with the reason if the model cannot forecast. [any thread]
  static void check_forecaster(const ssm::Model& model);

 private:
  // Statistics of unusable records.
  struct Tally {
    std::array<uint64_t, kUnusableKinds> unusable{};
    std::array<std::string, kUnusableKinds> first{};
    uint64_t malformed = 0, texts = 0;
    std::string first_malformed, first_text, names;  // names: the fields of the first record
    bool has_used = false, has_told = false;
  };

  Partition& open(const std::string& topic, int32_t partition);
  bool is_new(const Message& message, Partition*& partition);
  void recall_opening();
  void take_in(const Message& message, Sink& sink);
  void take_cuts(Sink& sink);
  void process_arrivals(Sink& sink);
  void settle(const Message& message, Sink* sink);
  void rename_clashes();
  void add_clashes(const Record& record, const Message& message);
  void hand_out(PendingRecord& record, Partition* partition, Sink& sink);
  void notice_silence(const PendingRecord& record, Partition* partition, Sink& sink);
  SilenceWatch::Report report_to(Sink& sink);
  std::string text_of(const Silence& silence);
  void complain_of(const PendingRecord& record);
  size_t shard_of(const std::string& key) const;
  void on_all(size_t arrivals, const std::function<void(size_t share)>& task);
  const Format& output() const { return other_format_ ? *other_format_ : *cutter_.format(); }
  Shard::Formats formats(const Sink& sink) const;
  void save(Partition& partition, const std::string& place);
  std::string describe_odd_header() const;
  void update_counters();

  std::shared_ptr<const ssm::Model> model_;
  EngineOptions options_;
  Complaint complain_;
  Counters counters_;
  Schema schema_;
  FileCutters cutter_;
  std::vector<Cut> cuts_;
  std::unique_ptr<Format> other_format_;  // of the output, if it differs
  bool settled_ = false;                  // whether formats, columns and header are fixed
  std::vector<std::string> opening_;      // the lines that fixed them
  std::vector<std::string> old_opening_;  // from the state, until it is known whether they apply to the input
  std::vector<Message> old_pending_;      // from the state: lines that were read but belong to no record yet
  std::string place_;
  bool has_state_ = false;
  bool names_are_fixed_ = false;                          // by the header
  std::vector<std::unique_ptr<const AddedNames>> names_;  // the last one is in use
  std::set<std::string> told_;                            // one-time warnings that were given
  Tally tally_;
  std::map<std::pair<std::string, int32_t>, std::unique_ptr<Partition>> partitions_;
  SilenceWatch silence_;
  Encoder silence_encoder_;
  SilenceWatch::Clock::time_point now_;  // when the messages being processed arrived
  Partition* whole_ = nullptr;           // the only one, for a source without partitions
  std::unique_ptr<StateFile> overflow_;  // for sensors that do not fit into memory, if there is no state
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::unique_ptr<Arrival>> arrivals_;  // reused
  size_t used_arrivals_ = 0;
  WorkerPool pool_;
};

}  // namespace coil::sensor
