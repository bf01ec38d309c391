// Where results go: standard output, an MQTT broker, a Kafka cluster, a picture.
#pragma once

#include <string>

#include "sensor/results/result.h"
#include "sensor/results/silence.h"

namespace coil::sensor {

// One thread at a time. Every function may block and may throw Error with one clear line.
class Sink {
 public:
  virtual ~Sink() = default;

  // Whether Result::text is to be made. Does not change.
  virtual bool wants_text() const { return true; }
  // Before the first result, where the format has a header.
  virtual void write_header(const std::string& /*line*/) {}
  // One result, in the order in which its message was read unless that was held back.
  virtual void write(const Result& result) = 0;
  // A sensor is silent, or is back: between results, in the order of the records' times.
  virtual void note(const Silence& /*silence*/) {}
  // Returns once everything written is out of this process, or in a bounded queue whose losses are counted.
  virtual void flush() {}
};

}  // namespace coil::sensor
