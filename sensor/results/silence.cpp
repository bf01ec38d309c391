// The text that describes a silence.
#include "sensor/results/silence.h"

#include "sensor/formats/duration.h"

namespace coil::sensor {

std::string cause_of(const Silence& silence) {
  return "silence: nothing came for " + describe_duration(silence.silent_s) + ", usually every " +
         describe_duration(silence.usual_s);
}

}  // namespace coil::sensor
