// Opens the sources and sinks of `coil stream`: pipes, MQTT or Kafka, according to the options.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sensor/engine.h"
#include "sensor/links/sink.h"
#include "sensor/links/source.h"
#include "sensor/service/log.h"

namespace CLI {
class App;
}

namespace coil::cli {

struct LinkOptions {
  std::string input = "-";  // a file, or standard input
  std::vector<std::string> follow;
  std::string mqtt, mqtt_out, mqtt_user, mqtt_password_file, mqtt_ca, mqtt_cert, mqtt_key, mqtt_client_id, mqtt_status;
  int mqtt_qos = 1;
  size_t mqtt_queue = 10'000;
  bool mqtt_tls = false, home_assistant = false;
  std::string kafka, kafka_out, kafka_group = "coil", kafka_config;

  bool has_broker() const { return !mqtt.empty() || !kafka.empty(); }
};

// [main-thread]
void add_link_options(CLI::App& command, LinkOptions& options);

// Throws Failure for options that contradict each other or were not compiled in. Sets the engine options that the links
// imply. [main-thread]
void check_links(const LinkOptions& options, sensor::EngineOptions& engine);

// A counter of a source or sink, for metrics. [any thread]
struct LinkCount {
  const char *name, *help;
  bool is_gauge;
  std::function<double()> value;
};

struct Links {
  std::shared_ptr<sensor::Source> source;
  std::shared_ptr<sensor::Sink> sink;  // may be the same object as the source
  std::vector<LinkCount> counts;
  // Why they cannot work at the moment; empty: they work. [any thread]
  std::function<std::string()> trouble = [] { return std::string(); };
};

// Opens and connects. Throws Failure and Error. [main-thread]
Links open_links(const LinkOptions& options, const sensor::EngineOptions& engine, const sensor::Log& log);

}  // namespace coil::cli
