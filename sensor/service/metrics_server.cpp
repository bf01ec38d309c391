// The HTTP server of a running stream, with cpp-httplib. Two pages and a text format need no metrics library.
#include "sensor/service/metrics_server.h"

#include <httplib.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace coil::sensor {
namespace {

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
      text += metric.name + sample.suffix + (sample.labels.empty() ? "" : "{" + sample.labels + "}") + " " +
              value_text(sample.value) + "\n";
    }
  }
  return text;
}

MetricsAddress parse_metrics_address(const std::string& text) {
  MetricsAddress address;
  std::string port = text;
  if (const size_t colon = text.rfind(':'); colon != std::string::npos) {
    address.host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (address.host.starts_with('[') && address.host.ends_with(']'))
      address.host = address.host.substr(1, address.host.size() - 2);
  }
  const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  const bool is_number = failure == std::errc() && end == port.data() + port.size();
  if (!is_number || address.port < 0 || address.port > 65'535 || address.host.empty()) {
    throw Error("--metrics '" + text + "': expected a port, or address:port");
  }
  return address;
}

MetricsServer::MetricsServer(const MetricsAddress& address, std::function<std::vector<Metric>()> metrics,
                             std::function<Health()> health)
    : server_(std::make_unique<Server>()), address_(address) {
  server_->new_task_queue = [] { return new httplib::ThreadPool(2); };
  server_->set_keep_alive_max_count(1);
  server_->set_read_timeout(5);
  server_->set_write_timeout(5);
  server_->set_payload_max_length(1024);
  // Two processes on one port would each get half of the requests.
  server_->set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server_->Get("/metrics", [metrics](const httplib::Request&, httplib::Response& response) {
    response.set_content(prometheus_text(metrics()), "text/plain; version=0.0.4; charset=utf-8");
  });
  server_->Get("/health", [health](const httplib::Request&, httplib::Response& response) {
    const Health now = health();
    nlohmann::ordered_json answer = {{"status", now.is_ok ? "ok" : "failing"}};
    if (!now.is_ok) answer["what"] = now.what;
    response.status = now.is_ok ? 200 : 503;
    response.set_content(answer.dump() + "\n", "application/json");
  });
  if (address.port == 0) {
    address_.port = server_->bind_to_any_port(address.host);
  } else if (!server_->bind_to_port(address.host, address.port)) {
    address_.port = -1;
  }
  if (address_.port < 0) {
    throw Error("--metrics: cannot listen at " + address.host + ", port " + std::to_string(address.port) +
                "; is the port in use?");
  }
  thread_ = std::thread([this] { server_->listen_after_bind(); });
  while (!server_->is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

MetricsServer::~MetricsServer() {
  server_->stop();
  thread_.join();
}

}  // namespace coil::sensor
