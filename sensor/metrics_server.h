// What a running stream shows over HTTP: /metrics for Prometheus, /health for supervisors.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
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
  // `address`: "9464" (loopback only), "0.0.0.0:9464", "[::]:9464"; port 0: any free one. Serves on threads of its own until destruction.
  // Throws Error when the address cannot be had. [main-thread]
  explicit MetricsServer(const std::string& address);
  ~MetricsServer();

  int port() const { return port_; }
  // What is shown from now on. Without news for 30 s /health answers 503, as it does when health says so. [any thread]
  void publish(std::vector<Metric> metrics, Health health);

 private:
  std::string health_text(int& status) const;

  struct Server;  // of the HTTP library
  std::unique_ptr<Server> server_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<Metric> metrics_;
  Health health_;
  int64_t published_ns_ = 0;
  std::thread thread_;
};

}  // namespace coil::sensor
