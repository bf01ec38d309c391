// Detects sensors that have stopped sending records.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sensor/results/silence.h"
#include "sensor/scoring/clock.h"
#include "sensor/scoring/rhythm.h"
#include "sensor/state/state_file.h"

namespace coil::sensor {

struct Partition;

// The times of a record that has come.
struct Arriving {
  std::optional<int64_t> time_ns;
  std::optional<double> passed_s;  // since the sensor's previous record, by its own clock
  double usual_s = 0;              // the usual interval before this record; 0: unknown
};

// Keeps two times: that of the stream, from the records of all sensors, and, for a source that is read as it grows,
// this machine's clock. The sensors' clocks need not agree: each record moves the stream's time by the time since the
// same sensor's previous record. A sensor is silent when its next record is overdue by `times` of its usual intervals.
// One thread at a time.
class SilenceWatch {
 public:
  using Clock = std::chrono::steady_clock;
  using Report = std::function<void(const Silence& silence, Partition* owner)>;

  // `times`: in usual intervals. 0: nothing is watched.
  explicit SilenceWatch(double times) : times_(times) {}

  bool is_on() const { return times_ > 0; }
  void use(std::shared_ptr<const AllSensorSettings> settings);

  // Restores a sensor from a checkpoint. `owner`: its partition, for forget().
  void recall(const std::string& key, Partition* owner, const SilenceMark& mark, Clock::time_point now);
  // A record has come. Reports its sensor if that was silent, and other sensors that are silent by the record's time.
  void see(const std::string& key, Partition* owner, const Arriving& arriving, Clock::time_point now,
           const Report& report);
  // A record has arrived but is not processed yet.
  void hear(const std::string& key, Clock::time_point now);
  // To be called regularly while no record comes.
  void tick(Clock::time_point now, const Report& report);

  SilenceMark mark(const std::string& key) const;
  void forget(const Partition* owner);

 private:
  struct Known {
    Partition* owner = nullptr;
    const SensorSettings* settings = nullptr;
    bool has_settings = false;         // they were looked up
    int64_t time_ns = kNoTime;         // of the last record
    double usual_s = 0;                // from its records
    double stream_s = 0, clock_s = 0;  // time of the last record, by both clocks
    Rhythm by_clock;
    bool is_silent = false, is_told = false, is_queued = false;  // is_told: the gap before its next record was reported
  };
  // When a sensor must be checked; the earliest is on top.
  using Deadline = std::pair<double, std::string>;
  using Deadlines = std::priority_queue<Deadline, std::vector<Deadline>, std::greater<>>;

  void find_settings(const std::string& key, Known& known) const;
  static double usual(const Known& known);
  double patience(const Known& known) const { return times_ * usual(known); }
  double patience_by_clock(const Known& known) const;
  void queue(const std::string& key, Known& known);
  void begin(const std::string& key, Known& known, double silent_s, const Report& report);
  bool is_noticed_in_maintenance(const Known& known, double silent_s) const;
  void notice_gap(const std::string& key, Known& known, const Arriving& arriving, double clock_s, const Report& report);
  void find(Deadlines& deadlines, double now, std::optional<int64_t> time_ns, bool by_clock, const Report& report);

  double times_;
  std::shared_ptr<const AllSensorSettings> settings_;
  double stream_s_ = 0;  // the stream's time
  std::unordered_map<std::string, Known> known_;
  Deadlines by_stream_, by_clock_;
};

}  // namespace coil::sensor
