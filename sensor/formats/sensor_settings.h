// Settings of single sensors: thresholds, limits, units, names, intervals, maintenance.
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
    std::optional<double> low, high;  // values outside are anomalies
    std::string unit;

    bool is_below(double value) const { return low && value < *low; }
    bool is_above(double value) const { return high && value > *high; }
  };
  // Half-open: [begin, end).
  struct Window {
    int64_t begin_ns = 0, end_ns = 0;  // once; or
    int weekday = -1;                  // for weekly windows: 0 is Sunday, -1 every day; the times are seconds of the
                                       // day in UTC
    int32_t begin_s = 0, end_s = 0;    // end <= begin: the window crosses midnight
    bool is_once = false;

    bool holds(int64_t time_ns) const;
  };

  std::string name;  // a readable name; empty: the sensor's own
  std::optional<double> threshold;
  std::optional<double> interval_s;  // expected between records; none: it is learned
  std::map<std::string, Limits, std::less<>> values;
  std::vector<Window> maintenance;  // values in these windows are neither scored nor learned

  const Limits* limits_of(std::string_view value) const {
    const auto found = values.find(value);
    return found == values.end() ? nullptr : &found->second;
  }
  bool is_in_maintenance(int64_t time_ns) const;
};

// A settings file. If several tables match a sensor, each setting comes from the first table that has it.
class AllSensorSettings {
 public:
  // Reads a TOML file. Throws Error with file, line and field. [main-thread]
  static std::shared_ptr<const AllSensorSettings> load(const std::filesystem::path& path);

  // Null if no table matches. Valid as long as this object. `sensor`: its readable name. [any thread]
  const SensorSettings* of(const std::string& sensor) const;
  // Records that the sensor has this value. [any thread]
  void note_value(const std::string& sensor, std::string_view value) const;

  // The parts of the file that had no effect so far, one line each: no sensor matched, or none had the value. [any
  // thread]
  std::vector<std::string> unused() const;

 private:
  struct Table {
    std::string match;  // the sensor's name, or a pattern with * and ? as in a shell
    size_t line = 0;
    SensorSettings settings;
    std::map<std::string, size_t, std::less<>> value_lines;
  };
  // Which parts of a table had an effect.
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
  mutable std::map<std::vector<size_t>, SensorSettings> merged_;  // by the set of tables that match
};

}  // namespace coil::sensor
