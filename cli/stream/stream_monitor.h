// The monitoring of a running `coil stream` over HTTP: counts, latency and health.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cli/log_histogram.h"
#include "cli/stream/stream_outputs.h"
#include "sensor/engine.h"

namespace coil::cli {

// Measures the time from reading a record to writing its result, over the last half to whole minute.
class LatencyMeter {
 public:
  void add(std::chrono::nanoseconds latency, uint64_t records);  // [any thread]
  struct Summary {
    double p50_s = 0, p99_s = 0, p999_s = 0;  // NaN: no records
    double sum_s = 0;                         // since the start, like the count
    uint64_t count = 0;
  };
  Summary summary();  // [any thread]

 private:
  void turn_over();

  std::mutex mutex_;
  std::unique_ptr<LogHistogram> recent_ns_ = std::make_unique<LogHistogram>(),
                                before_ns_ = std::make_unique<LogHistogram>();
  std::chrono::steady_clock::time_point turned_over_ = std::chrono::steady_clock::now();
  double sum_s_ = 0;
  uint64_t count_ = 0;
};

// Sits between the engine and its links, and measures.
class StreamMonitor {
 public:
  // `address`: see sensor::parse_metrics_address. The other arguments must outlive this object. Throws Error.
  // [main-thread]
  StreamMonitor(const std::string& address, const sensor::Engine& engine, Links& links, StreamOutputs& outputs,
                const sensor::Log& log);
  ~StreamMonitor();

  sensor::Source& source();
  sensor::Sink& sink();

 private:
  class MeasuredSource;
  class MeasuredSink;
  struct Server;
  LatencyMeter latency_;
  std::unique_ptr<MeasuredSource> source_;
  std::unique_ptr<MeasuredSink> sink_;
  std::unique_ptr<Server> server_;  // declared last: it uses the others
};

// Throws Failure if this program was built without metrics, or for an invalid address. [main-thread]
void check_monitor(const std::string& address);

}  // namespace coil::cli
