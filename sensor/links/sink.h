// The interface for the receivers of results: standard output, an MQTT broker, a Kafka cluster, a plot.
#pragma once

#include <string>

#include "sensor/results/result.h"
#include "sensor/results/silence.h"

namespace coil::sensor {

// One thread at a time. Every function may block and may throw Error with one clear line.
class Sink {
 public:
  virtual ~Sink() = default;

  // Whether Result::text is needed. Constant.
  virtual bool wants_text() const { return true; }
  // Called before the first result, if the format has a header.
  virtual void write_header(const std::string& /*line*/) {}
  // One result, in the order in which messages were read, unless a message was held back.
  virtual void write(const Result& result) = 0;
  // A sensor has become silent, or sends again. Called between results, in order of time.
  virtual void note(const Silence& /*silence*/) {}
  // Returns when everything written has left this process, or is in a bounded queue whose losses are counted.
  virtual void flush() {}
};

}  // namespace coil::sensor
