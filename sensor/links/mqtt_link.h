// Reads records from an MQTT broker and writes results back.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_map>

#include "sensor/links/mqtt_connection.h"
#include "sensor/links/sink.h"
#include "sensor/links/source.h"

namespace coil::sensor {

struct MqttOptions {
  MqttBroker broker;
  std::string topic;              // filter of the topics to read: sensors/+/temperature, plant/#
  std::string out_topic;          // results go to out_topic/<sensor>; empty: results go elsewhere
  std::string status_topic;       // "online" and "offline", retained; empty: out_topic with "-status" appended
  int qos = 1;                    // 0 or 1, for both directions
  double silence_times = 0;       // of the usual interval, after which a sensor's entities expire; 0: never
  bool home_assistant = false;    // announces every sensor; results must be NDJSON
  std::string prefix;             // of added fields
  std::vector<size_t> horizons;   // of added forecasts
  size_t queue_records = 10'000;  // that wait for the engine
  std::function<bool()> stopped = [] { return false; };  // waiting for the broker ends when this returns true
};

// Splits "host/topic", "host:1884/topic", "[::1]:1883/topic" into broker.host, broker.port, topic. Throws Error.
void set_address(MqttOptions& options, const std::string& address);

// Throws Error for options that cannot work.
void check(const MqttOptions& options);

// Two connections. A message received on the first is acknowledged only when its results have reached the broker on the
// second.
//
// QoS 1: no record stays unanswered and no result is lost as long as the broker keeps this client's session (a day).
// After a crash a record may be answered twice. The broker holds back what the engine cannot take. QoS 0: a queue of
// queue_records; when it is full, the oldest are dropped. Lost records and lost results are counted.
class MqttLink final : public Source, public Sink {
 public:
  // Connects. Throws Error for options that cannot work, and if the broker refuses. Waits for a broker that is away.
  MqttLink(const MqttOptions& options, const Log& log);
  ~MqttLink() override;

  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;
  void answered() override;
  void write(const Result& result) override;
  void note(const Silence& silence) override;
  void flush() override;

  struct Counts {
    uint64_t dropped_records = 0, dropped_results = 0, refused_results = 0, redelivered = 0, reconnects = 0,
             waiting_records = 0;
  };
  Counts counts() const;  // [any thread]
  bool is_connected() const {
    return in_.is_connected() && (options_.out_topic.empty() || out_.is_connected());
  }  // [any thread]

 private:
  struct Waiting {
    Message message;
    int qos;
  };
  struct Received {  // for QoS 1
    int id;
    size_t hash;
  };

  void connected(bool session_present);
  void received(const mosquitto_message& message);
  bool is_repeated(const mosquitto_message& message);
  bool may_acknowledge() const;
  void announce(const Result& result, const std::string& sensor, const std::string& state_topic);
  void send(const std::string& topic, const std::string& text, bool retain);
  void wait_for_room();
  void throw_if_failed() const;

  const MqttOptions options_;  // includes the default status topic, if there are results
  const Log& log_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> queue_;
  size_t queued_unacknowledged_ = 0;      // number of QoS 1 messages in the queue
  size_t taken_ = 0;                      // QoS 1 messages that the engine has and that are not answered
  bool is_cut_off_ = false;               // stopped while results were pending: their records are not answered
  std::deque<Received> recent_;           // as many as the broker may send before the first is acknowledged
  std::map<int, size_t> may_come_again_;  // after a reconnect: id -> hash
  size_t results_under_way_ = 0;
  bool has_told_of_refusal_ = false;
  Counts counts_;
  std::unordered_map<std::string, int64_t> announced_;  // with the expiry that was announced
  MqttConnection in_, out_;                             // declared last: their threads use the members above
};

}  // namespace coil::sensor
