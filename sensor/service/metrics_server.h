// What a running stream shows over HTTP: /metrics for Prometheus, /health for supervisors.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace coil::sensor {

struct Metric {
  enum class Kind { kCounter, kGauge, kSummary };

  // A summary has a sample for each quantile, labels `quantile="0.5"`, and its samples named with the suffixes _sum and
  // _count.
  struct Sample {
    std::string suffix, labels;
    double value = 0;
  };

  std::string name;  // coil_stream_records_total
  std::string help;  // one line, with the unit
  Kind kind = Kind::kCounter;
  std::vector<Sample> samples;
};

// The text format 0.0.4 of Prometheus.
std::string prometheus_text(const std::vector<Metric>& metrics);

struct Health {
  bool is_ok = true;
  std::string what;  // why not
};

struct MetricsAddress {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free one
};

// "9464", "0.0.0.0:9464", "[::]:9464". Throws Error.
MetricsAddress parse_metrics_address(const std::string& text);

class MetricsServer {
 public:
  // Serves on threads of its own until destruction, and calls both functions there, at any moment. Throws Error when
  // the address cannot be had. [main-thread]
  MetricsServer(const MetricsAddress& address, std::function<std::vector<Metric>()> metrics,
                std::function<Health()> health);
  ~MetricsServer();

  const MetricsAddress& address() const { return address_; }  // with the port that was found

 private:
  struct Server;  // of the HTTP library
  std::unique_ptr<Server> server_;
  MetricsAddress address_;
  std::thread thread_;
};

}  // namespace coil::sensor
