// The result for one record, as values; formats and sinks render it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sensor/formats/added_names.h"
#include "sensor/formats/schema.h"
#include "sensor/formats/sensor_settings.h"
#include "sensor/records/message.h"
#include "sensor/records/record.h"
#include "sensor/results/broken_relation.h"
#include "sensor/scoring/explanation.h"

namespace coil::sensor {

// A forecast of one value: its median, and the bounds that the value exceeds with a probability of 10 % each.
struct Expected {
  bool exists = false;
  double median = 0, low = 0, high = 0;
};

// The result for one value of a record.
struct ValueResult {
  std::string_view name;  // of the field
  double value = 0;       // finite; undefined if the value is missing
  bool is_missing = false;
  bool is_left_out = false;           // it is there, and counts as missing, because it came in a time of maintenance
  Expected expected{};                // the forecast for this record: made one record before, or over a gap
  double score = 0;                   // of this value alone, 0 to 1
  Explanation why{};                  // if the score is not 0
  std::span<const Expected> ahead{};  // one per requested horizon; empty: the record was not scored
};

enum class Status : uint8_t { kOk, kAnomaly, kWarmup, kMissing, kLate, kFuture, kUnscored, kMaintenance };
enum class Episode : uint8_t { kNone, kBegin, kOn, kEnd };

// As written in outputs: "ok", "begin" ...; empty for Episode::kNone. [any thread]
const char* name_of(Status status);
const char* name_of(Episode episode);

// Views are valid until the call that delivers the result returns. [any thread]
struct Result {
  const Message* message = nullptr;  // the record's message: topic, partition, offset
  const Record* record = nullptr;
  const Selection* selection = nullptr;      // the record's key and time
  const AddedNames* added_names = nullptr;   // the names of added fields
  const SensorSettings* settings = nullptr;  // of the sensor; null: nothing was said about it
  double usual_s = 0;                        // interval at which the sensor's records usually come; 0: not known
  std::span<const ValueResult> values{};     // empty if the record is unscored
  bool is_scored = false;                    // false: the score, and the values' forecasts and scores, are undefined
  bool has_score = false;                    // at least one of its values was not missing
  double score = 0;                          // 0 to 1
  Status status = Status::kOk;
  Episode episode = Episode::kNone;
  const ValueResult* cause = nullptr;        // for an anomaly: the most unusual value
  const BrokenRelation* relation = nullptr;  // that made it an anomaly; null: none did
  bool comes_back = false;                   // one of its values follows missing ones
  std::string_view text{};                   // in the output's format; empty if the sink does not need it

  std::string_view key() const { return selection->key; }
  // Of a value by this name; empty: not known.
  std::string_view unit_of(std::string_view value) const {
    const SensorSettings::Limits* limits = settings ? settings->limits_of(value) : nullptr;
    return limits ? std::string_view(limits->unit) : std::string_view();
  }
};

// Why the record is an anomaly, for people: "temperature jump: up to 35.4, expected 20.3 (19.8 to 20.9)". Empty if it
// is none. [any thread]
std::string cause_of(const Result& result);

// A key in readable form, for example site/pump. [any thread]
std::string readable_key(std::string_view key);

}  // namespace coil::sensor
