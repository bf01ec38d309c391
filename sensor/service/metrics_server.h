// Serves the state of a running stream over HTTP: /metrics for Prometheus, /health for supervisors.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace coil::sensor {

struct Metric {
  enum class Kind { kCounter, kGauge, kSummary };

  // A summary has one sample per quantile with the label `quantile="0.5"`, and samples with the suffixes _sum and
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

// Prometheus' text format 0.0.4.
std::string prometheus_text(const std::vector<Metric>& metrics);

struct Health {
  bool is_ok = true;
  std::string what;  // why not
};

struct MetricsAddress {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free port
};

// "9464", "0.0.0.0:9464", "[::]:9464". Throws Error.
MetricsAddress parse_metrics_address(const std::string& text);

class MetricsServer {
 public:
  // Serves on its own threads until destruction, and calls both functions on them at any time. Throws Error if the
  // address is not available. [main-thread]
  MetricsServer(const MetricsAddress& address, std::function<std::vector<Metric>()> metrics,
                std::function<Health()> health);
  ~MetricsServer();

  const MetricsAddress& address() const { return address_; }  // with the actual port

 private:
  struct Server;  // of the HTTP library
  std::unique_ptr<Server> server_;
  MetricsAddress address_;
  std::thread thread_;
};

}  // namespace coil::sensor
