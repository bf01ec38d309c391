// One connection to an MQTT 5 broker with its own thread. It connects, reconnects with back-off, and can hold back
// everything that it sends.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "sensor/service/log.h"

struct mosquitto;
struct mosquitto_message;

namespace coil::sensor {

struct MqttBroker {
  std::string host;
  int port = 0;  // 0: 8883 with TLS, else 1883
  std::string client_id;
  std::string user, password;  // empty user: anonymous
  bool tls = false;
  std::string ca_file;                     // empty: the system's certificates
  std::string certificate_file, key_file;  // of this client; empty: none
};

class MqttConnection {
 public:
  struct Will {
    std::string topic, text;  // retained; empty topic: no will
  };
  // Called on the connection's thread.
  struct Handlers {
    std::function<void(bool session_present)> connected = [](bool) {};  // may publish and subscribe
    std::function<void(const mosquitto_message&)> received = [](const mosquitto_message&) {};
    std::function<void(int id, int reason_code)> published = [](int, int) {
    };                                            // for QoS 1: the broker accepted it, or refused it (>= 128)
    std::function<void()> state_changed = [] {};  // connected, lost or failed
    // Everything sent after a message was received acknowledges it. While this returns false, only the connect packet
    // is sent.
    std::function<bool()> may_send = [] { return true; };
  };

  // receive_maximum: QoS 1 messages that the broker may send before the first one is acknowledged, 1 to 65535.
  // session_expiry_s: how long the broker keeps messages while this client is away. Throws Error for unusable files.
  MqttConnection(const MqttBroker& broker, const Will& will, int receive_maximum, uint32_t session_expiry_s,
                 Handlers handlers, const Log& log);
  ~MqttConnection();  // does not disconnect properly: the broker publishes the will and resends unacknowledged messages

  // Starts, and returns after the first attempt: it succeeded, or failed in a way that may pass (it is then repeated).
  // Throws Error if the broker refuses this client. [main-thread]
  void start();
  // Sends waiting messages for up to a second, and disconnects properly: the broker does not publish the will.
  // [main-thread]
  void stop();

  void subscribe(const std::string& filter, int qos);
  // Returns the id that `published` will get; -1: the topic or the size is not allowed, or there is no connection (QoS
  // 1 waits for one instead).
  int publish(const std::string& topic, const std::string& text, int qos, bool retain);
  void look_again();  // call when may_send changes [any thread]

  bool is_connected() const { return connected_; }
  uint64_t reconnects() const { return reconnects_; }
  void throw_if_failed() const;  // throws Error if the broker refuses this client permanently

 private:
  void run();
  int connect();  // returns an error code of libmosquitto, as serve()
  int serve();
  bool may_send() const { return !connected_ || handlers_.may_send(); }
  void lose(const std::string& what, int code);
  void set_callbacks();
  void fail(const std::string& message);
  void tell(LogLevel level, const std::string& message) const { log_.write(level, "mqtt", message); }

  const MqttBroker broker_;
  const std::string address_;
  const uint32_t session_expiry_s_;
  const Handlers handlers_;
  const Log& log_;
  struct mosquitto* client_ = nullptr;
  int wake_fd_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_{false}, connected_{false}, was_connected_{false}, farewell_{false};
  std::atomic<uint64_t> reconnects_{0};
  mutable std::mutex mutex_;
  std::condition_variable attempted_;
  bool has_attempted_ = false;
  std::string failure_;
};

}  // namespace coil::sensor
