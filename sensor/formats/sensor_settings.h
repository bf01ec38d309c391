// What people say about single sensors: thresholds, limits, units, names, intervals, maintenance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace coil::sensor {

struct SensorSettings {
  struct Limits {
    std::optional<double> low, high;  // a value beyond them is an anomaly
    std::string unit;

    bool is_below(double value) const { return low && value < *low; }
    bool is_above(double value) const { return high && value > *high; }
  };
  // From begin to before end.
  struct Window {
    int64_t begin_ns = 0, end_ns = 0;  // once; or
    int weekday = -1;                  // every week: 0 is Sunday, -1 every day; seconds of the day in UTC
    int32_t begin_s = 0, end_s = 0;    // end not after begin: over midnight
    bool is_once = false;

    bool holds(int64_t time_ns) const;
  };

  std::string name;  // for people; empty: the sensor's own
  std::optional<double> threshold;
  std::optional<double> interval_s;  // at which records are expected; none: it is learnt
  std::map<std::string, Limits, std::less<>> values;
  std::vector<Window> maintenance;  // what comes in it is neither judged nor learnt

  const Limits* limits_of(std::string_view value) const {
    const auto found = values.find(value);
    return found == values.end() ? nullptr : &found->second;
  }
  bool is_in_maintenance(int64_t time_ns) const;
};

// A file of settings. Of several tables that match a sensor each setting is taken from the first one that has it.
class AllSensorSettings {
 public:
  // A TOML file. Throws Error that names file, line and field. [main-thread]
  static std::shared_ptr<const AllSensorSettings> load(const std::filesystem::path& path);

  // Null: no table matches. It lives as long as this. `sensor`: its readable name. [any thread]
  const SensorSettings* of(const std::string& sensor) const;
  // The sensor has this value. [any thread]
  void note_value(const std::string& sensor, std::string_view value) const;

  // What had no effect until now, one line each: no sensor matched it, or none had the value. [any thread]
  std::vector<std::string> unused() const;

 private:
  struct Table {
    std::string match;  // the sensor's name, or a pattern with * and ? as the shell has them
    size_t line = 0;
    SensorSettings settings;
    std::map<std::string, size_t, std::less<>> value_lines;
  };
  // What of a table had an effect.
  struct Used {
    bool has_matched = false;
    std::set<std::string, std::less<>> values;
  };
  class Reader;

  std::vector<size_t> matching(const std::string& sensor) const;

  std::filesystem::path path_;
  std::vector<Table> tables_;
  mutable std::mutex mutex_;  // what follows
  mutable std::vector<Used> used_;
  mutable std::map<std::vector<size_t>, SensorSettings> merged_;  // by the tables that match
};

}  // namespace coil::sensor
