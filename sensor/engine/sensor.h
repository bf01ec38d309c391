// The memory of one key: its series, one per value field, and data about its records as a whole.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "sensor/scoring/bounds_calibration.h"
#include "sensor/scoring/cadence.h"
#include "sensor/scoring/calendar.h"
#include "sensor/scoring/clock.h"
#include "sensor/scoring/detector.h"
#include "sensor/scoring/forecast.h"
#include "sensor/scoring/gap_forecast.h"
#include "sensor/scoring/normaliser.h"
#include "sensor/scoring/rhythm.h"
#include "sensor/records/message.h"
#include "sensor/formats/sensor_settings.h"
#include "sensor/engine/group.h"
#include "sensor/engine/intervals.h"

namespace coil::sensor {

class StateFile;

// The gap between a record and the last value of its series.
struct Gap {
  double steps = 0;     // of the series' rhythm; 0: the record is the next one
  int64_t records = 1;  // records since that value, including those without a value and the record itself
};

// The last gap of a series whose new level is watched. Plain data.
struct AfterGap {
  double steps = 0;
  int64_t records = 0;  // as in Gap
  int64_t values = 0;   // received since; 0: nothing is watched

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(steps, records, values);
  }
};

// The memory of one series besides the model's state. Plain data.
struct SeriesMemory {
  explicit SeriesMemory(int window) : normaliser(window), cadence(window) {}

  Normaliser normaliser;
  Cadence cadence;
  // Of the last planned record; the model may not have processed it yet.
  int64_t last_time_ns = kNoTime;
  uint64_t last_steady_ns = 0;   // its Clock::steady_ns()
  double steps_since_value = 0;  // of the series' rhythm
  int64_t records_since_value = 0;
  bool last_was_missing = true;
  uint64_t last_record_hash = 0;  // of its whole text
  bool has_begun = false;         // true after the first value that was not missing
  // Large; everything above is contiguous.
  PendingForecasts forecasts;
  Detector detector;
  RecentValues recent;
  GapBounds bounds;

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(normaliser, cadence, last_time_ns, last_steady_ns, steps_since_value, records_since_value, last_was_missing,
           last_record_hash, has_begun, forecasts, detector, recent, bounds);
  }

  // The gap before a record, after `passage` of the cadence.
  Gap pass(const Cadence::Passage& passage) noexcept {
    const bool is_gap =
        steps_since_value > 0 || passage.missing > 0 || passage.long_gap || passage.elapsed >= kLongPause;
    const Gap gap{is_gap ? steps_since_value + passage.elapsed : 0, records_since_value + 1};
    steps_since_value = last_was_missing ? steps_since_value + passage.elapsed : 0;
    records_since_value = last_was_missing ? gap.records : 0;
    return gap;
  }

 private:
  static constexpr double kLongPause =
      8;  // typical intervals: a longer pause counts as a gap even in an irregular series
};

struct Series {
  Series(std::string field, int window) : name(std::move(field)), memory(window) {}

  std::string name;
  uint32_t slot = 0;  // in the StreamBatch

  // While a batch is processed: the first and last waiting value of this series.
  size_t first_waiting = SIZE_MAX, last_waiting = SIZE_MAX;  // indices of the schedule's values; SIZE_MAX: none

  SeriesMemory memory;
  Calendar calendar;
  AfterGap after_gap;
  BoundsCalibration bounds;  // of the forecast for the next record
  CalibratedHorizons ahead;
};

// The memory of one sensor. Plain data.
struct SensorMemory {
  Clock clock;
  bool in_episode = false;
  int32_t quiet_records = 0;  // in the episode, since its last anomaly

  // All fields to save in state files.
  template <class Fields>
  void visit(Fields&& fields) {
    fields(clock, in_episode, quiet_records);
  }
};

// A record in the reorder window.
struct Held {
  int64_t time_ns;
  Message message;
};

struct Sensor {
  SensorMemory memory;
  Rhythm rhythm;                             // of its records
  const SensorSettings* settings = nullptr;  // null: nothing was said about it, or it was not looked for yet
  std::shared_ptr<const AllSensorSettings> settings_are_of;  // which were looked through for it
  std::vector<std::unique_ptr<Series>> series;
  std::vector<Held> held;        // by time, then in order of arrival
  std::unique_ptr<Group> group;  // of its own values, or of the sensors that it stands for; null: none
  std::string group_key;         // of the group of several sensors that it belongs to; empty: none, or not looked up
  StateFile* file = nullptr;     // where it is stored
  std::unique_ptr<Interval> interval;  // null: records are not aggregated
  std::vector<uint32_t> text_fields;   // hashes of the names of fields that once held a non-numeric text
};

}  // namespace coil::sensor
