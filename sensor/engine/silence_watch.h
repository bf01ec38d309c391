// Notices sensors whose records do not come any more.
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

// What a record tells.
struct Arriving {
  std::optional<int64_t> time_ns;
  std::optional<double> passed_s;  // since the sensor's record before, by its clock
  double usual_s = 0;              // of its records, without this one; 0: not known
};

// Time is what the records of all sensors say, and for a source that is read while it grows also what this machine's
// clock says. Sensors' clocks need not agree: each moves the time by what passed for it. A sensor is silent when its
// next record is later than so many of its usual intervals. One thread at a time.
class SilenceWatch {
 public:
  using Clock = std::chrono::steady_clock;
  using Report = std::function<void(const Silence& silence, Partition* owner)>;

  // `times`: of the usual interval; 0: nothing is watched.
  explicit SilenceWatch(double times) : times_(times) {}

  bool is_on() const { return times_ > 0; }
  void use(std::shared_ptr<const AllSensorSettings> settings);

  // A sensor that is known from before. `owner`: of the sensor, for forget().
  void recall(const std::string& key, Partition* owner, const SilenceMark& mark, Clock::time_point now);
  // A record has come: reports who is back, and who is silent by the time that it tells.
  void see(const std::string& key, Partition* owner, const Arriving& arriving, Clock::time_point now,
           const Report& report);
  // A record has come that is not looked at yet.
  void hear(const std::string& key, Clock::time_point now);
  // The clock goes on while nothing comes.
  void tick(Clock::time_point now, const Report& report);

  SilenceMark mark(const std::string& key) const;
  void forget(const Partition* owner);

 private:
  struct Known {
    Partition* owner = nullptr;
    const SensorSettings* settings = nullptr;
    bool has_settings = false;         // they were looked for
    int64_t time_ns = kNoTime;         // of the last record
    double usual_s = 0;                // by the records
    double stream_s = 0, clock_s = 0;  // when it came, on both clocks
    Rhythm by_clock;
    bool is_silent = false, is_told = false, is_queued = false;  // is_told: that its next record comes after a silence
  };
  // By when a sensor has to be looked at, the soonest on top.
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
  double stream_s_ = 0;  // the records' time
  std::unordered_map<std::string, Known> known_;
  Deadlines by_stream_, by_clock_;
};

}  // namespace coil::sensor
