// Filters, actions and statistics for results, and the exit code.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/stream/stream_links.h"
#include "sensor/links/episode_actions.h"
#include "sensor/links/filtered_sink.h"
#include "sensor/links/sensor_tallies.h"

namespace CLI {
class App;
}

namespace coil::cli {

struct OutputOptions {
  std::string only, since, fail_on;
  bool train_only = false, summary = false;
  std::vector<std::string> commands, webhooks;
  size_t patience_s = 600;
  size_t metrics_sensors = 100;
};

// [main-thread]
void add_output_options(CLI::App& command, OutputOptions& options);
// Throws Failure for options that contradict each other. [main-thread]
void check_outputs(const OutputOptions& options, const sensor::EngineOptions& engine);

class StreamOutputs {
 public:
  // `links` and `log` must outlive this object; counters are added to the links' counts. `has_metrics`: tallies are
  // needed. [main-thread]
  StreamOutputs(const OutputOptions& options, Links& links, bool has_metrics, const sensor::Log& log);
  ~StreamOutputs();

  sensor::Sink& sink() { return *since_; }
  const sensor::SensorTallies* tallies() const { return tallies_.get(); }  // null: not needed
  size_t metrics_sensors() const { return metrics_sensors_; }              // sensors with separate metrics
  bool has_found() const;                                                  // an anomaly or a silence was passed on
  uint64_t finish_deliveries();                                            // returns how many events were lost
  void print_sensors() const;                                              // to standard error

 private:
  class Finder;

  size_t metrics_sensors_;
  std::vector<std::unique_ptr<sensor::DeliveryQueue>> queues_;
  std::unique_ptr<sensor::SensorTallies> tallies_;
  std::unique_ptr<sensor::EpisodeActions> actions_;
  std::unique_ptr<Finder> finder_;
  std::unique_ptr<sensor::FilteredSink> only_, since_;
  std::unique_ptr<sensor::FannedSink> fan_;
};

}  // namespace coil::cli
