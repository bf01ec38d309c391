// That the records of a sensor do not come any more, or come again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sensor/formats/sensor_settings.h"

namespace coil::sensor {

struct Silence {
  std::string key;
  const SensorSettings* settings = nullptr;  // of the sensor; null: nothing was said about it
  bool has_ended = false;                    // the sensor is back
  double silent_s = 0, usual_s = 0;          // how long nothing came, and the interval at which records usually come
  std::optional<int64_t> time_ns;            // of the records; none: they have no times
};

// "silence: nothing came for 35 min, usually every 1 min". [any thread]
std::string cause_of(const Silence& silence);

}  // namespace coil::sensor
