// The event that a sensor has stopped sending records, or sends again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sensor/formats/sensor_settings.h"

namespace coil::sensor {

struct Silence {
  std::string key;
  const SensorSettings* settings = nullptr;  // of the sensor; null: it has none
  bool has_ended = false;                    // the sensor sends again
  double silent_s = 0, usual_s = 0;          // length of the silence, and the usual interval
  std::optional<int64_t> time_ns;            // of the event, by the records' times; none: they have no times
  int32_t partition = -1;                    // of the sensor's records; -1: the source has none
  std::string_view text{};                   // in the output's format; empty: it is not to be written

  const char* status() const { return has_ended ? "back" : "silent"; }
};

// "silence: nothing came for 35 min, usually every 1 min". [any thread]
std::string cause_of(const Silence& silence);

}  // namespace coil::sensor
