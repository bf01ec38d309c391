// Records from an MQTT broker and results back to it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_set>

#include "sensor/links/mqtt_connection.h"
#include "sensor/links/sink.h"
#include "sensor/links/source.h"

namespace coil::sensor {

struct MqttOptions {
  MqttBroker broker;
  std::string topic;              // filter of what is read: sensors/+/temperature, plant/#
  std::string out_topic;          // results go to out_topic/<sensor>; empty: results go elsewhere
  std::string status_topic;       // "online" and "offline", retained; empty: out_topic with "-status" at its end
  int qos = 1;                    // 0 or 1, of both directions
  bool home_assistant = false;    // announce every sensor; results must be NDJSON
  std::string prefix;             // of the fields that the engine adds
  std::vector<size_t> horizons;   // of the forecasts that the engine adds
  size_t queue_records = 10'000;  // that wait for the engine
  std::function<bool()> stopped = [] { return false; };  // waiting for the broker ends when this becomes true
};

// "host/topic", "host:1884/topic", "[::1]:1883/topic" into broker.host, broker.port, topic. Throws Error.
void set_address(MqttOptions& options, const std::string& address);

// Throws Error for options that cannot work.
void check(const MqttOptions& options);

// Two connections: what is received on the first is acknowledged only once its results are with the broker on the
// second.
//
// QoS 1: no record stays unanswered and no result is lost while the broker keeps this client's session (a day); after a
// crash a record may be answered twice. The broker holds back what the engine cannot take. QoS 0: a queue of
// queue_records, whose oldest make room; both losses, of records and of results, are counted.
class MqttLink final : public Source, public Sink {
 public:
  // Connects. Throws Error for options that cannot work and for a broker that refuses; a broker that is away is waited
  // for.
  MqttLink(const MqttOptions& options, const Log& log);
  ~MqttLink() override;

  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;
  void answered() override;
  void write(const Result& result) override;
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
  struct Received {  // of QoS 1
    int id;
    size_t hash;
  };

  void connected(bool session_present);
  void received(const mosquitto_message& message);
  bool is_repeated(const mosquitto_message& message);
  bool may_acknowledge() const;
  void announce(const Result& result, const std::string& sensor, const std::string& state_topic);
  void send(const std::string& topic, const std::string& text, bool retain);
  void throw_if_failed() const;

  const MqttOptions options_;  // with a status topic where there are results
  const Log& log_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> queue_;
  size_t queued_unacknowledged_ = 0;      // of the queue's messages, those of QoS 1
  size_t taken_ = 0;                      // messages of QoS 1 that the engine has and that are not answered
  bool is_cut_off_ = false;               // stopped while results were under way: their records are not answered
  std::deque<Received> recent_;           // as many as the broker may send before the first is acknowledged
  std::map<int, size_t> may_come_again_;  // after a reconnect: id -> hash
  size_t results_under_way_ = 0;
  bool has_told_of_refusal_ = false;
  Counts counts_;
  std::unordered_set<std::string> announced_;
  MqttConnection in_, out_;  // last: their threads use what stands above
};

}  // namespace coil::sensor
