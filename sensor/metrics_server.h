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

  // A summary has a sample for each quantile, labels `quantile="0.5"`, and its samples named with the suffixes _sum and _count.
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

class MetricsServer {
 public:
  // `address`: "9464" (loopback only), "0.0.0.0:9464", "[::]:9464"; port 0: any free one. Serves on threads of its own until destruction, and calls
  // both functions there, at any moment. Throws Error when the address cannot be had. [main-thread]
  MetricsServer(const std::string& address, std::function<std::vector<Metric>()> metrics, std::function<Health()> health);
  ~MetricsServer();

  const std::string& host() const { return host_; }
  int port() const { return port_; }

 private:
  struct Server;  // of the HTTP library
  std::unique_ptr<Server> server_;
  std::string host_ = "127.0.0.1";
  int port_ = 0;
  std::thread thread_;
};

}  // namespace coil::sensor
