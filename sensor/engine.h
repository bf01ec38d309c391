// Records in, results out: any number of sensors through one forecaster, with all that makes it a service.
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

// One thread at a time. Results do not depend on how messages are cut into calls, nor on the number of threads.
class Engine {
 public:
  using Complaint = std::function<void(const Message&, const std::string& what)>;

  // Throws Error when the model is no forecaster, or the state is damaged, of another model, or in use. `complain`:
  // called for each record that is malformed or odd, in order. [main-thread]
  Engine(std::shared_ptr<const ssm::Model> model, EngineOptions options, Complaint complain);
  ~Engine();

  // Hands the results of these messages to the sink, in their order. Throws Error when a sensor cannot be written to
  // disk or read back, or when the input is CSV and its header cannot be understood. [main-thread]
  void process(std::span<const Message> messages, Sink& sink);
  // Time goes on while nothing comes: tells the sink of sensors that should have come by now. [main-thread]
  void tick(Sink& sink);
  // Nothing more will come: hands over the results of what the reorder windows hold; with a state they stay there and
  // wait. `has_ended`: the source has, so that a record that is open ends too. [main-thread]
  void finish(Sink& sink, bool has_ended = true);

  // Writes a checkpoint of all that was processed; without a state does nothing. `place`: where in the source that
  // ends, if the source has places. Throws Error. [main-thread]
  void save(const std::string& place = {});
  bool keeps_state() const { return !options_.state.empty(); }
  // Where the state found at the start ends; empty: nowhere. [main-thread]
  const std::string& place() const { return place_; }
  bool has_state() const { return has_state_; }
  // For a partitioned source: its states are kept beside options.state, in files of their own for each partition.
  // [main-thread]
  PartitionHooks partition_hooks();
  // Tells the source which messages the last checkpoint covers. [main-thread]
  void report_saved(Source& source) const;

  // Other settings of single sensors, from the next record on; null: none. [main-thread]
  void use(std::shared_ptr<const AllSensorSettings> settings);
  const AllSensorSettings* settings() const { return options_.settings.get(); }

  const Counters& counters() const { return counters_; }
  const Format* format() const { return cutter_.format(); }  // of the input; null: nothing came yet
  // The likely cause where records came and none of them could be used; else empty. [main-thread]
  std::string nothing_used() const;
  const ssm::Model& model() const { return *model_; }
  // Multiply-adds of the model for one step of a series, with the forecasts that are used.
  double macs_per_step() const;

  // Memory of a series: the model's state and what is remembered beside it. [any thread]
  static size_t bytes_per_series(const ssm::Model& model);
  // Throws Error that says why the model cannot forecast. [any thread]
  static void check_forecaster(const ssm::Model& model);

 private:
  // What was wrong with the records that were of no use.
  struct Tally {
    std::array<uint64_t, kUnusableKinds> unusable{};
    std::array<std::string, kUnusableKinds> first{};
    uint64_t malformed = 0, texts = 0;
    std::string first_malformed, first_text, names;  // names: of the first record's fields
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
  void complain_of(const PendingRecord& record);
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
  std::unique_ptr<Format> other_format_;  // of the output, where it differs
  bool settled_ = false;                  // formats, columns and header
  std::vector<std::string> opening_;      // the lines that settled it
  std::vector<std::string> old_opening_;  // of the state, as long as it is not known whether it holds for what comes
  std::vector<Message> old_pending_;      // of the state: read before, and part of no record yet
  std::string place_;
  bool has_state_ = false;
  bool names_are_fixed_ = false;                          // by the header
  std::vector<std::unique_ptr<const AddedNames>> names_;  // the last one holds from now on
  std::set<std::string> told_;                            // what is said once, was
  Tally tally_;
  std::map<std::pair<std::string, int32_t>, std::unique_ptr<Partition>> partitions_;
  SilenceWatch silence_;
  SilenceWatch::Clock::time_point now_;  // when the messages came that are processed
  Partition* whole_ = nullptr;           // of a source without partitions the only one
  std::unique_ptr<StateFile> overflow_;  // for sensors that do not fit into memory, without a state
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::unique_ptr<Arrival>> arrivals_;  // made to be used again
  size_t used_arrivals_ = 0;
  WorkerPool pool_;
};

}  // namespace coil::sensor
