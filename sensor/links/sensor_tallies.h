// Statistics per sensor: counts and episodes, for a summary and for metrics.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "sensor/links/sink.h"

namespace coil::sensor {

struct SensorTally {
  struct Episode {
    std::optional<int64_t> begin_ns, end_ns;    // nullopt: the record has no time
    uint64_t begin_record = 0, end_record = 0;  // of the sensor, from 1; end 0: it continues
    std::string cause;                          // at its start
    bool is_silence = false;
  };

  std::string name, display_name;  // display_name: from the settings; empty: none
  uint64_t records = 0, scored = 0, missing = 0, gaps = 0, anomalies = 0, episodes = 0;
  uint64_t silences = 0;                     // also counted as episodes
  std::optional<int64_t> first_ns, last_ns;  // earliest and latest time of scored records
  double score = 0;                          // of the last record
  bool in_episode = false, is_silent = false;
  std::deque<Episode> last_episodes;  // at most kEpisodes
  static constexpr size_t kEpisodes = 20;
};

// Counts in the order of the results. Another thread may read it at the same time.
class SensorTallies final : public Sink {
 public:
  // `most`: how many sensors are counted separately, the first ones; 0: no limit.
  explicit SensorTallies(size_t most) : most_(most) {}

  bool wants_text() const override { return false; }
  void write(const Result& result) override;
  void note(const Silence& silence) override;

  // Visits the sensors in the order of their first records. [any thread]
  void visit(const std::function<void(const SensorTally&)>& see) const;
  uint64_t left_out() const;  // results of sensors beyond the limit [any thread]

 private:
  SensorTally* find(std::string_view key);
  static void begin(SensorTally& tally, std::optional<int64_t> time_ns, std::string cause, bool is_silence);
  static SensorTally::Episode* end(SensorTally& tally, std::optional<int64_t> time_ns, bool is_silence);

  size_t most_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, size_t> places_;  // by key
  std::deque<SensorTally> tallies_;
  uint64_t left_out_ = 0;
};

}  // namespace coil::sensor
