// Options of sources and sinks, and the links that were compiled in.
#include "cli/stream/stream_links.h"

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/text.h"
#include "sensor/links/file_source.h"
#include "sensor/links/followed_files.h"
#include "sensor/links/gzip_file.h"
#include "sensor/links/pipe.h"
#include "base/error.h"
#ifdef COIL_MQTT
#include "sensor/links/mqtt_link.h"
#endif
#ifdef COIL_KAFKA
#include "sensor/links/kafka_link.h"
#endif

namespace coil::cli {
namespace {

constexpr const char* kPasswordVariable = "COIL_MQTT_PASSWORD";

[[maybe_unused]] void refuse_missing(const std::string& option, const std::string& what, const std::string& package) {
  throw Failure(kUsage,
                option + ": this coil was built without " + what + "; install " + package + " and build it again");
}

// Replaces a compressed file by its content.
int unpacked(int descriptor, const std::string& name, const sensor::Log& log) {
  try {
    const sensor::UnpackedFile file = sensor::unpack_gzip(descriptor);
    ::close(descriptor);
    if (!file.damage.empty())
      log.write(sensor::LogLevel::kWarning, name, file.damage + "; the data before that is processed");
    return file.descriptor;
  } catch (const Error& error) {
    throw Failure(kFailed, name + ": " + error.what());
  }
}

std::shared_ptr<sensor::Source> open_input(const std::string& input, const sensor::Log& log) {
  const bool is_standard = input == "-";
  const int descriptor =
      is_standard ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : ::open(input.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0)
    throw Failure(kFailed,
                  (is_standard ? "standard input" : in_quotes(input)) + ": cannot be read: " + std::strerror(errno));
  if (sensor::is_seekable(descriptor)) {
    const std::string name = is_standard ? "standard input" : in_quotes(input);
    const bool is_packed = ::lseek(descriptor, 0, SEEK_CUR) == 0 && sensor::is_gzip(descriptor);
    return std::make_shared<sensor::FileSource>(is_packed ? unpacked(descriptor, name, log) : descriptor, name);
  }
  return std::make_shared<sensor::PipeSource>(descriptor);
}

sensor::FollowOptions follow_options(const LinkOptions& options, const sensor::EngineOptions& engine) {
  sensor::FollowOptions follow;
  follow.names = options.follow;
  follow.output = STDOUT_FILENO;
  if (engine.state.empty()) return follow;
  for (const char* ending : {"", ".part", ".series"}) {
    follow.ignored_names.insert(std::filesystem::absolute(engine.state.string() + ending).lexically_normal().string());
  }
  return follow;
}

#ifdef COIL_MQTT
std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "host";
}

// Not on the command line, which every user of the machine can read.
std::string mqtt_password(const LinkOptions& options) {
  if (options.mqtt_password_file.empty()) {
    const char* password = std::getenv(kPasswordVariable);
    return password ? password : "";
  }
  std::ifstream file(options.mqtt_password_file);
  std::string password;
  if (!std::getline(file, password)) {
    throw Failure(kUsage,
                  "--mqtt-password-file " + in_quotes(options.mqtt_password_file) + ": no password can be read");
  }
  return password;
}

sensor::MqttOptions mqtt_options(const LinkOptions& options, const sensor::EngineOptions& engine) {
  sensor::MqttOptions mqtt;
  set_address(mqtt, options.mqtt);
  mqtt.broker.client_id = options.mqtt_client_id.empty() ? "coil-" + host_name() : options.mqtt_client_id;
  mqtt.broker.user = options.mqtt_user;
  mqtt.broker.password = mqtt_password(options);
  mqtt.broker.tls = options.mqtt_tls || !options.mqtt_ca.empty() || !options.mqtt_cert.empty();
  mqtt.broker.ca_file = options.mqtt_ca;
  mqtt.broker.certificate_file = options.mqtt_cert;
  mqtt.broker.key_file = options.mqtt_key;
  mqtt.out_topic = options.mqtt_out;
  mqtt.status_topic = options.mqtt_status;
  mqtt.qos = options.mqtt_qos;
  mqtt.queue_records = options.mqtt_queue;
  mqtt.home_assistant = options.home_assistant;
  mqtt.silence_times = engine.silence_times;
  mqtt.prefix = engine.prefix;
  mqtt.horizons = engine.horizons;
  mqtt.stopped = interrupted;
  check(mqtt);
  return mqtt;
}

void open_mqtt(const LinkOptions& options, const sensor::EngineOptions& engine, const sensor::Log& log, Links& links) {
  auto mqtt = std::make_shared<sensor::MqttLink>(mqtt_options(options, engine), log);
  const sensor::MqttLink* link = mqtt.get();
  using Counts = sensor::MqttLink::Counts;
  const auto add = [&](const char* name, const char* help, uint64_t Counts::*count, bool is_gauge = false) {
    links.counts.push_back(
        {name, help, is_gauge, [link, count] { return static_cast<double>(link->counts().*count); }});
  };
  add("coil_stream_mqtt_dropped_records_total", "Records of QoS 0 that found the queue full.",
      &Counts::dropped_records);
  add("coil_stream_mqtt_dropped_results_total", "Results of QoS 0 that met no connection.", &Counts::dropped_results);
  add("coil_stream_mqtt_refused_results_total", "Results that the broker refused.", &Counts::refused_results);
  add("coil_stream_mqtt_redelivered_total", "Records that the broker sent again and that were known.",
      &Counts::redelivered);
  add("coil_stream_mqtt_reconnects_total", "Connections after the first.", &Counts::reconnects);
  add("coil_stream_lag", "Records that wait to be read.", &Counts::waiting_records, true);
  links.counts.push_back({"coil_stream_mqtt_connected", "1 while the broker is there.", true,
                          [link] { return double(link->is_connected()); }});
  links.trouble = [link] { return std::string(link->is_connected() ? "" : "the MQTT broker is away"); };
  links.source = mqtt;
  if (!options.mqtt_out.empty()) links.sink = mqtt;
}
#endif

#ifdef COIL_KAFKA
sensor::KafkaOptions kafka_options(const LinkOptions& options) {
  sensor::KafkaOptions kafka;
  set_address(kafka, options.kafka);
  kafka.out_topic = options.kafka_out;
  kafka.group = options.kafka_group;
  kafka.config_file = options.kafka_config;
  kafka.stopped = interrupted;
  return kafka;
}

void open_kafka(const LinkOptions& options, const sensor::Log& log, Links& links) {
  auto kafka = std::make_shared<sensor::KafkaLink>(kafka_options(options), log);
  const sensor::KafkaLink* link = kafka.get();
  links.counts = {
      {"coil_stream_lag", "Records of this worker's partitions that wait to be read.", true,
       [link] { return double(link->lag()); }},
      {"coil_stream_kafka_deduplicated_total", "Results that a predecessor had written already.", false,
       [link] { return double(link->deduplicated()); }},
  };
  links.source = kafka;
  if (!options.kafka_out.empty()) links.sink = kafka;
}
#endif

}  // namespace

void add_link_options(CLI::App& command, LinkOptions& options) {
  command.add_option("input", options.input, "File of records, also gzip (default: standard input)")->type_name("FILE");
  command
      .add_option(
          "--follow", options.follow,
          "Read files and wait for more data, also if they are rotated, truncated or created later: files, folders "
          "with everything below them, quoted patterns; with --state it continues at the same byte after a restart")
      ->type_name("FILE...");
  const auto mqtt = [&](const char* names, auto& value, const char* help, const char* type) {
    return command.add_option(names, value, help)->type_name(type)->group("MQTT");
  };
  mqtt("--mqtt", options.mqtt,
       "Read records from a broker's topic; wildcards are allowed: localhost/sensors/+/temperature",
       "BROKER[:PORT]/TOPIC");
  mqtt("--mqtt-out", options.mqtt_out,
       "Write the results of each sensor to TOPIC/<sensor> (default: to standard output)", "TOPIC");
  mqtt("--mqtt-qos", options.mqtt_qos,
       "1: records are acknowledged once their results are written; 0: records that do not fit the queue are dropped "
       "and counted",
       "0|1")
      ->check(CLI::IsMember({0, 1}))
      ->capture_default_str();
  mqtt("--mqtt-user", options.mqtt_user, "User; the password comes from --mqtt-password-file or $COIL_MQTT_PASSWORD",
       "NAME");
  mqtt("--mqtt-password-file", options.mqtt_password_file, "File whose first line is the password", "FILE");
  command
      .add_flag("--mqtt-tls", options.mqtt_tls, "Encrypt; the broker's certificate must be one that this system trusts")
      ->group("MQTT");
  mqtt("--mqtt-ca", options.mqtt_ca, "Encrypt; the broker's certificate must come from this authority", "FILE");
  mqtt("--mqtt-cert", options.mqtt_cert, "This client's certificate", "FILE");
  mqtt("--mqtt-key", options.mqtt_key, "This client's private key", "FILE");
  mqtt("--mqtt-client-id", options.mqtt_client_id,
       "Client name; the broker keeps its messages for a day (default: coil-<host>)", "NAME");
  mqtt("--mqtt-status", options.mqtt_status,
       "Topic that states online or offline, retained, also after a crash (default: <--mqtt-out>-status)", "TOPIC");
  mqtt("--mqtt-queue", options.mqtt_queue, "Records that may wait to be processed", "N")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  command
      .add_flag("--home-assistant", options.home_assistant,
                "Announce every sensor to Home Assistant: score, forecast, problem")
      ->group("MQTT");
  const auto kafka = [&](const char* names, auto& value, const char* help, const char* type) {
    return command.add_option(names, value, help)->type_name(type)->group("Kafka");
  };
  kafka("--kafka", options.kafka,
        "Read records from a topic, whose partitions the workers of a group share; needs --state in a shared folder",
        "BROKERS/TOPIC");
  kafka("--kafka-out", options.kafka_out,
        "Write each result once to this topic, which needs as many partitions (default: to standard output)", "TOPIC");
  kafka("--kafka-group", options.kafka_group, "Consumer group", "NAME")->capture_default_str();
  kafka("--kafka-config", options.kafka_config, "File of further librdkafka properties, such as security.protocol=ssl",
        "FILE");
}

void check_links(const LinkOptions& options, sensor::EngineOptions& engine) {
  const auto needs = [](bool is_given, const char* option, bool is_met, const char* what) {
    if (is_given && !is_met) throw Failure(kUsage, std::string(option) + " needs " + what);
  };
  if (!options.mqtt.empty() && !options.kafka.empty())
    throw Failure(kUsage, "--mqtt and --kafka: one source at a time");
  if (options.has_broker() && options.input != "-")
    throw Failure(kUsage, in_quotes(options.input) + ": a file and a broker: one source at a time");
  if (!options.follow.empty() && (options.has_broker() || options.input != "-")) {
    throw Failure(kUsage, "--follow " + in_quotes(options.follow.front()) + " and " +
                              (options.has_broker() ? "a broker" : in_quotes(options.input)) +
                              ": one source at a time");
  }
  if (options.has_broker() && engine.resume)
    throw Failure(kUsage, "--resume is for files; brokers keep the position themselves");
  if (!options.follow.empty()) engine.resume = true;
  for (const auto& [name, value] : {std::pair("--mqtt-out", options.mqtt_out),
                                    {"--mqtt-user", options.mqtt_user},
                                    {"--mqtt-ca", options.mqtt_ca},
                                    {"--mqtt-cert", options.mqtt_cert},
                                    {"--mqtt-key", options.mqtt_key},
                                    {"--mqtt-status", options.mqtt_status},
                                    {"--mqtt-password-file", options.mqtt_password_file},
                                    {"--mqtt-client-id", options.mqtt_client_id}}) {
    needs(!value.empty(), name, !options.mqtt.empty(), "--mqtt");
  }
  needs(options.mqtt_tls, "--mqtt-tls", !options.mqtt.empty(), "--mqtt");
  needs(options.home_assistant, "--home-assistant", !options.mqtt.empty(), "--mqtt");
  needs(!options.kafka_out.empty(), "--kafka-out", !options.kafka.empty(), "--kafka");
  needs(!options.kafka_config.empty(), "--kafka-config", !options.kafka.empty(), "--kafka");
  needs(!options.kafka.empty(), "--kafka", !engine.state.empty(),
        "--state FILE: the state of a partition is in FILE.<topic>.<partition>");
#ifndef COIL_MQTT
  if (!options.mqtt.empty()) refuse_missing("--mqtt", "MQTT", "libmosquitto-dev");
#endif
#ifndef COIL_KAFKA
  if (!options.kafka.empty()) refuse_missing("--kafka", "Kafka", "librdkafka-dev");
#endif
  // Without a format, an unreadable message would be taken for a CSV header.
  if (options.has_broker() && engine.input_format.empty()) engine.input_format = "ndjson";
  if (options.has_broker() && engine.input_format == "csv") {
    throw Failure(kUsage, "--input-format csv: a message has no header; brokers carry ndjson or line");
  }
  engine.partitioned = !options.kafka.empty();
  if (options.home_assistant) {
    if (engine.output_format.empty()) engine.output_format = "ndjson";
    if (engine.output_format != "ndjson")
      throw Failure(kUsage, "--home-assistant: reads NDJSON; leave --output-format out");
  }
  try {
#ifdef COIL_MQTT
    if (!options.mqtt.empty()) mqtt_options(options, engine);
#endif
#ifdef COIL_KAFKA
    if (!options.kafka.empty()) kafka_options(options);
#endif
  } catch (const Error& error) {
    throw Failure(kUsage, error.what());
  }
}

Links open_links(const LinkOptions& options, [[maybe_unused]] const sensor::EngineOptions& engine,
                 [[maybe_unused]] const sensor::Log& log) {
  Links links;
  try {
#ifdef COIL_MQTT
    if (!options.mqtt.empty()) open_mqtt(options, engine, log, links);
#endif
#ifdef COIL_KAFKA
    if (!options.kafka.empty()) open_kafka(options, log, links);
#endif
  } catch (const Error&) {
    throw_if_interrupted();  // while it waited for the broker
    throw;
  }
  if (!links.source && !options.follow.empty())
    links.source = std::make_shared<sensor::FollowedFiles>(follow_options(options, engine), log);
  if (!links.source) links.source = open_input(options.input, log);
  if (!links.sink) links.sink = std::make_shared<sensor::PipeSink>(STDOUT_FILENO);
  return links;
}

}  // namespace coil::cli
