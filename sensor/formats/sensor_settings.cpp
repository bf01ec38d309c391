// Reads sensors.toml with toml++. Anything unknown in it is an error.
#include "sensor/formats/sensor_settings.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <toml++/toml.h>

#include "base/error.h"
#include "sensor/formats/duration.h"
#include "sensor/formats/timestamp.h"

namespace coil::sensor {
namespace {

constexpr int64_t kSecond = 1'000'000'000, kDay_s = 86'400;
constexpr std::array<std::string_view, 7> kDays = {"sunday",   "monday", "tuesday", "wednesday",
                                                   "thursday", "friday", "saturday"};

// Converts "23:59" or "24:00" to seconds.
std::optional<int32_t> time_of_day(std::string_view text) {
  int hour = 0, minute = 0;
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto hours = std::from_chars(text.data(), text.data() + 2, hour),
             minutes = std::from_chars(text.data() + 3, text.data() + 5, minute);
  if (hours.ptr != text.data() + 2 || minutes.ptr != text.data() + 5) return std::nullopt;
  const int32_t seconds = 3600 * hour + 60 * minute;
  if (hour < 0 || minute < 0 || minute > 59 || seconds > kDay_s) return std::nullopt;
  return seconds;
}

std::optional<int> weekday(std::string_view text) {
  std::string day(text);
  std::transform(day.begin(), day.end(), day.begin(), [](unsigned char c) { return std::tolower(c); });
  for (size_t i = 0; i < kDays.size(); ++i) {
    if (day.size() >= 3 && kDays[i].starts_with(day)) return static_cast<int>(i);
  }
  return std::nullopt;
}

std::optional<SensorSettings::Window> parse_window(std::string_view text) {
  SensorSettings::Window window;
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto begin = parse_timestamp(text.substr(0, slash)), end = parse_timestamp(text.substr(slash + 1));
    if (!begin || !end || *begin >= *end) return std::nullopt;
    window.is_once = true, window.begin_ns = *begin, window.end_ns = *end;
    return window;
  }
  if (const size_t space = text.find(' '); space != std::string_view::npos) {
    const std::optional<int> day = weekday(text.substr(0, space));
    if (!day) return std::nullopt;
    window.weekday = *day;
    text.remove_prefix(space + 1);
  }
  if (text.size() != 11 || text[5] != '-') return std::nullopt;
  const auto begin = time_of_day(text.substr(0, 5)), end = time_of_day(text.substr(6));
  if (!begin || !end || *begin == *end) return std::nullopt;
  window.begin_s = *begin, window.end_s = *end;
  return window;
}

bool is_of_value(std::string_view name) {
  constexpr std::string_view kNames[] = {"low", "high", "min", "max", "unit", "units"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

// Converts the file's tables to settings.
class AllSensorSettings::Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  [[noreturn]] void refuse(const toml::node& node, const std::string& what) const {
    throw Error("'" + file_ + "', line " + std::to_string(node.source().begin.line) + ": " + what);
  }

  // Refuses the first thing in the file that is not a table [[sensor]].
  void check_outermost(const toml::table& parsed) const {
    const toml::node* first = nullptr;
    std::string name;
    for (const auto& [key, node] : parsed) {
      if (key.str() == "sensor" && node.is_array()) continue;
      if (first && first->source().begin.line <= node.source().begin.line) continue;
      first = &node, name = key.str();
    }
    if (!first) return;
    if (name == "sensor") refuse(*first, "each sensor is a table [[sensor]], with two brackets");
    refuse(*first, "'" + name + "' is not known; each sensor is a table [[sensor]]" +
                       (first->is_table() ? " with match = \"" + name + "\"" : ""));
  }

  Table table(const toml::table& from) const {
    Table to;
    to.line = from.source().begin.line;
    bool has_match = false;
    for (const auto& [key, node] : from) {
      const std::string_view name = key.str();
      if (name == "match")
        to.match = text(node, "match"), has_match = true;
      else
        read(name, node, to);
    }
    if (!has_match) refuse(from, "'match' is missing: the sensor's name, or a pattern as \"plant/pump*\"");
    return to;
  }

 private:
  void read(std::string_view name, const toml::node& node, Table& to) const {
    SensorSettings& settings = to.settings;
    if (name == "name") {
      settings.name = text(node, "name");
    } else if (name == "threshold") {
      settings.threshold = number(node, "threshold");
      if (!(*settings.threshold >= 0 && *settings.threshold <= 1)) {
        refuse(node, "'threshold' must be a number from 0 to 1");
      }
    } else if (name == "interval") {
      settings.interval_s = interval(node);
    } else if (name == "values") {
      read_values(node, to);
    } else if (name == "maintenance") {
      settings.maintenance = windows(node);
    } else if (is_of_value(name)) {
      refuse(node, "'" + std::string(name) +
                       "' is a setting of a value, as values.flow = { low = 1, high = 9, unit = \"m3/h\" }");
    } else {
      refuse(node, "'" + std::string(name) +
                       "' is not known; wanted are match, name, threshold, interval, values, maintenance");
    }
  }

  std::string text(const toml::node& node, const std::string& name) const {
    if (!node.is_string()) refuse(node, "'" + name + "' must be a text");
    return node.value<std::string>().value_or("");
  }
  double number(const toml::node& node, const std::string& name) const {
    const std::optional<double> value = node.is_number() ? node.value<double>() : std::nullopt;
    if (!value || !std::isfinite(*value)) refuse(node, "'" + name + "' must be a number");
    return *value;
  }

  double interval(const toml::node& node) const {
    if (node.is_number()) {
      const double seconds = number(node, "interval");
      if (seconds > 0) return seconds;
    } else if (node.is_string()) {
      if (const std::optional<double> seconds = parse_duration(text(node, "interval"))) return *seconds;
    }
    refuse(node, "'interval' must be a time above 0, as 60 (seconds) or \"5min\"");
  }

  void read_values(const toml::node& node, Table& to) const {
    if (!node.is_table())
      refuse(node, "'values' must be a table, as values.flow = { low = 1, high = 9, unit = \"m3/h\" }");
    for (const auto& [key, fields] : *node.as_table()) {
      const std::string value(key.str());
      if (!fields.is_table())
        refuse(fields, "'" + value + "' must be a table, as { low = 1, high = 9, unit = \"m3/h\" }");
      to.value_lines[value] = fields.source().begin.line;
      SensorSettings::Limits& limits = to.settings.values[value];
      for (const auto& [field, what] : *fields.as_table()) {
        const std::string name(field.str());
        if (name == "low")
          limits.low = number(what, name);
        else if (name == "high")
          limits.high = number(what, name);
        else if (name == "unit")
          limits.unit = text(what, name);
        else
          refuse(what, "'" + name + "' is not known; wanted are low, high, unit");
      }
      if (limits.low && limits.high && *limits.low > *limits.high)
        refuse(fields, "'low' of '" + value + "' is above 'high'");
    }
  }

  std::vector<SensorSettings::Window> windows(const toml::node& node) const {
    std::vector<SensorSettings::Window> all;
    if (!node.is_array()) refuse(node, "'maintenance' must be a list of texts, as [\"Sun 02:00-04:00\"]");
    for (const toml::node& item : *node.as_array()) {
      const std::string words = text(item, "maintenance");
      const std::optional<SensorSettings::Window> window = parse_window(words);
      if (!window) {
        refuse(item, "'maintenance': '" + words +
                         "' is not a time; expected \"Sun 02:00-04:00\", \"22:00-01:00\" (UTC) or "
                         "\"2026-01-31T12:00:00Z/2026-01-31T14:00:00Z\"");
      }
      all.push_back(*window);
    }
    return all;
  }

  std::string file_;
};

bool SensorSettings::Window::holds(int64_t time_ns) const {
  if (is_once) return time_ns >= begin_ns && time_ns < end_ns;
  const int64_t second = time_ns >= 0 ? time_ns / kSecond : (time_ns + 1) / kSecond - 1;
  const int64_t day = second >= 0 ? second / kDay_s : (second + 1) / kDay_s - 1;
  const auto of_day = static_cast<int32_t>(second - day * kDay_s);
  // 1970-01-01 was a Thursday
  const auto is_day = [&](int64_t which) { return weekday < 0 || ((which + 4) % 7 + 7) % 7 == weekday; };
  if (begin_s < end_s) return is_day(day) && of_day >= begin_s && of_day < end_s;
  return (is_day(day) && of_day >= begin_s) || (is_day(day - 1) && of_day < end_s);
}

bool SensorSettings::is_in_maintenance(int64_t time_ns) const {
  return std::any_of(maintenance.begin(), maintenance.end(),
                     [&](const Window& window) { return window.holds(time_ns); });
}

std::shared_ptr<const AllSensorSettings> AllSensorSettings::load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path))
    throw Error("'" + path.string() + "': cannot be read" + (errno ? std::string(": ") + std::strerror(errno) : ""));
  toml::table parsed;
  try {
    parsed = toml::parse(file, path.string());
  } catch (const toml::parse_error& error) {
    const auto line = error.source().begin.line;
    throw Error("'" + path.string() + "'" + (line > 0 ? ", line " + std::to_string(line) : "") +
                ": is not TOML: " + std::string(error.description()));
  }
  const Reader reader(path.string());
  const auto all = std::make_shared<AllSensorSettings>();
  all->path_ = path;
  reader.check_outermost(parsed);
  if (const toml::node* const tables = parsed.get("sensor")) {
    for (const toml::node& item : *tables->as_array()) {
      if (!item.is_table()) reader.refuse(item, "wanted are tables [[sensor]]");
      all->tables_.push_back(reader.table(*item.as_table()));
    }
  }
  all->used_.resize(all->tables_.size());
  return all;
}

std::vector<size_t> AllSensorSettings::matching(const std::string& sensor) const {
  std::vector<size_t> matching;
  for (size_t i = 0; i < tables_.size(); ++i) {
    const std::string& match = tables_[i].match;
    if (match == sensor || ::fnmatch(match.c_str(), sensor.c_str(), 0) == 0) matching.push_back(i);
  }
  return matching;
}

const SensorSettings* AllSensorSettings::of(const std::string& sensor) const {
  const std::vector<size_t> matching = this->matching(sensor);
  if (matching.empty()) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = merged_.try_emplace(matching);
  SensorSettings& merged = place->second;
  for (const size_t i : matching) {
    used_[i].has_matched = true;
    if (!is_new) continue;
    const SensorSettings& next = tables_[i].settings;
    if (merged.name.empty()) merged.name = next.name;
    if (!merged.interval_s) merged.interval_s = next.interval_s;
    if (!merged.threshold) merged.threshold = next.threshold;
    if (merged.maintenance.empty()) merged.maintenance = next.maintenance;
    merged.values.insert(next.values.begin(), next.values.end());
  }
  return &merged;
}

void AllSensorSettings::note_value(const std::string& sensor, std::string_view value) const {
  const std::lock_guard lock(mutex_);
  for (const size_t i : matching(sensor)) {
    if (tables_[i].settings.values.contains(value)) used_[i].values.emplace(value);
  }
}

std::vector<std::string> AllSensorSettings::unused() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines;
  const auto add = [&](size_t line, const std::string& what) {
    lines.push_back("'" + path_.string() + "', line " + std::to_string(line) + ": " + what);
  };
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (!used_[i].has_matched) {
      add(tables_[i].line, "no sensor came that '" + tables_[i].match + "' matches");
      continue;
    }
    for (const auto& [value, line] : tables_[i].value_lines) {
      if (!used_[i].values.contains(value))
        add(line, "no sensor of '" + tables_[i].match + "' has a value '" + value + "'");
    }
  }
  return lines;
}

}  // namespace coil::sensor
