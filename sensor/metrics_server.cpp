// The HTTP server of a running stream, on cpp-httplib: two pages and a text format need no registry of metrics.
#include "sensor/metrics_server.h"

#include <httplib.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ssm/error.h"

namespace coil::sensor {
namespace {

using ssm::Error;
constexpr int64_t kSilence_ns = 30'000'000'000;

int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

std::string value_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

const char* name_of(Metric::Kind kind) {
  return kind == Metric::Kind::kCounter ? "counter" : kind == Metric::Kind::kGauge ? "gauge" : "summary";
}

}  // namespace

struct MetricsServer::Server : httplib::Server {};

std::string prometheus_text(const std::vector<Metric>& metrics) {
  std::string text;
  for (const Metric& metric : metrics) {
    text += "# HELP " + metric.name + " " + metric.help + "\n# TYPE " + metric.name + " " + name_of(metric.kind) + "\n";
    for (const Metric::Sample& sample : metric.samples) {
      text += metric.name + sample.suffix + (sample.labels.empty() ? "" : "{" + sample.labels + "}") + " " + value_text(sample.value) + "\n";
    }
  }
  return text;
}

MetricsServer::MetricsServer(const std::string& address) : server_(std::make_unique<Server>()), published_ns_(now_ns()) {
  const Error error("--metrics '" + address + "': expected a port, or address:port");
  std::string host = "127.0.0.1", port = address;
  if (const size_t colon = address.rfind(':'); colon != std::string::npos) {
    host = address.substr(0, colon);
    port = address.substr(colon + 1);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  }
  int number = -1;
  const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (failure != std::errc() || end != port.data() + port.size() || number < 0 || number > 65'535 || host.empty()) throw error;

  server_->new_task_queue = [] { return new httplib::ThreadPool(2); };
  server_->set_keep_alive_max_count(1);
  server_->set_read_timeout(5);
  server_->set_write_timeout(5);
  server_->set_payload_max_length(1024);
  // Two processes on one port would each get half of the scrapes.
  server_->set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server_->Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
    std::lock_guard lock(mutex_);
    response.set_content(prometheus_text(metrics_), "text/plain; version=0.0.4; charset=utf-8");
  });
  server_->Get("/health", [this](const httplib::Request&, httplib::Response& response) {
    response.set_content(health_text(response.status), "application/json");
  });
  if (number == 0) {
    port_ = server_->bind_to_any_port(host);
  } else {
    port_ = server_->bind_to_port(host, number) ? number : -1;
  }
  if (port_ < 0) throw Error("--metrics '" + address + "': cannot listen there; is the port in use?");
  thread_ = std::thread([this] { server_->listen_after_bind(); });
  while (!server_->is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

MetricsServer::~MetricsServer() {
  server_->stop();
  thread_.join();
}

void MetricsServer::publish(std::vector<Metric> metrics, Health health) {
  std::lock_guard lock(mutex_);
  metrics_ = std::move(metrics);
  health_ = std::move(health);
  published_ns_ = now_ns();
}

std::string MetricsServer::health_text(int& status) const {
  std::lock_guard lock(mutex_);
  Health health = health_;
  if (now_ns() - published_ns_ > kSilence_ns) health = {false, "the stream has not moved for 30 s"};
  status = health.is_ok ? 200 : 503;
  nlohmann::ordered_json answer = {{"status", health.is_ok ? "ok" : "failing"}};
  if (!health.is_ok) answer["what"] = health.what;
  return answer.dump() + "\n";
}

}  // namespace coil::sensor
