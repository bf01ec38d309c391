// A connection that uses libmosquitto's interface for external event loops. libmosquitto queues an acknowledgement as
// soon as a message was handed over. In this mode nothing is sent before mosquitto_loop_write is called, so
// acknowledgements can wait for results.
#include "sensor/links/mqtt_connection.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>

#include "base/error.h"

namespace coil::sensor {
namespace {

constexpr int kKeepalive_s = 30;
constexpr std::chrono::milliseconds kFirstPause{500}, kLongestPause{30'000};
constexpr int kFirstRefusal = 128;  // reason codes from here on are errors

void check_readable(const char* what, const std::string& file) {
  if (!file.empty() && !std::ifstream(file))
    throw Error(std::string(what) + " '" + file + "': cannot be read: " + std::strerror(errno));
}

std::string describe(int code) {
  if (code == MOSQ_ERR_ERRNO) return std::strerror(errno);
  return mosquitto_strerror(code);
}

// Retrying does not help when TLS fails: the certificates are wrong, not the network.
bool is_lasting(int code) { return code == MOSQ_ERR_TLS || code == MOSQ_ERR_INVAL || code == MOSQ_ERR_NOT_SUPPORTED; }

bool is_lasting_reason(int reason_code) {
  return reason_code == MQTT_RC_BAD_USERNAME_OR_PASSWORD || reason_code == MQTT_RC_NOT_AUTHORIZED ||
         reason_code == MQTT_RC_CLIENTID_NOT_VALID || reason_code == MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION ||
         reason_code == MQTT_RC_BANNED || reason_code == MQTT_RC_BAD_AUTHENTICATION_METHOD;
}

}  // namespace

MqttConnection::MqttConnection(const MqttBroker& broker, const Will& will, int receive_maximum,
                               uint32_t session_expiry_s, Handlers handlers, const Log& log)
    : broker_(broker),
      address_(broker.host + ":" +
               std::to_string(broker.port != 0 ? broker.port
                              : broker.tls     ? 8883
                                               : 1883)),
      session_expiry_s_(session_expiry_s),
      handlers_(std::move(handlers)),
      log_(log) {
  static const int initialised = mosquitto_lib_init();
  (void)initialised;
  check_readable("--mqtt-ca", broker.ca_file);
  check_readable("--mqtt-cert", broker.certificate_file);
  check_readable("--mqtt-key", broker.key_file);
  client_ = mosquitto_new(broker.client_id.c_str(), false, this);
  if (!client_) throw Error("--mqtt-client-id '" + broker.client_id + "': not a client id");
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  mosquitto_int_option(client_, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  mosquitto_int_option(client_, MOSQ_OPT_RECEIVE_MAXIMUM, receive_maximum);
  mosquitto_int_option(client_, MOSQ_OPT_SEND_MAXIMUM, 65'535);  // as many as the broker allows
  mosquitto_int_option(client_, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_threaded_set(client_, true);
  if (!broker.user.empty()) mosquitto_username_pw_set(client_, broker.user.c_str(), broker.password.c_str());
  if (broker.tls) {
    const auto name = [](const std::string& file) { return file.empty() ? nullptr : file.c_str(); };
    const char* system_certificates = broker.ca_file.empty() ? "/etc/ssl/certs" : nullptr;
    const int code =
        mosquitto_tls_set(client_, name(broker.ca_file), system_certificates, name(broker.certificate_file),
                          name(broker.key_file), [](char*, int, int, void*) { return 0; });
    if (code != MOSQ_ERR_SUCCESS) throw Error("--mqtt-ca, --mqtt-cert, --mqtt-key: cannot be used: " + describe(code));
  }
  if (!will.topic.empty()) {
    mosquitto_will_set_v5(client_, will.topic.c_str(), static_cast<int>(will.text.size()), will.text.data(), 1, true,
                          nullptr);
  }
  set_callbacks();
}

void MqttConnection::set_callbacks() {
  mosquitto_connect_v5_callback_set(
      client_, [](struct mosquitto*, void* self_pointer, int reason_code, int flags, const mosquitto_property*) {
        auto& self = *static_cast<MqttConnection*>(self_pointer);
        if (reason_code >= kFirstRefusal) {
          const std::string message =
              "broker " + self.address_ + " refuses the connection: " + mosquitto_reason_string(reason_code);
          if (is_lasting_reason(reason_code) && !self.was_connected_) {
            self.fail(message);
          } else {
            self.tell(LogLevel::kWarning, message);
          }
          return;
        }
        if (self.was_connected_.exchange(true)) ++self.reconnects_;
        self.connected_ = true;
        self.tell(LogLevel::kInfo, "connected to " + self.address_ + " as " + self.broker_.client_id);
        self.handlers_.connected(flags & 1);
        {
          std::lock_guard lock(self.mutex_);
          self.has_attempted_ = true;
        }
        self.attempted_.notify_all();
        self.handlers_.state_changed();
      });
  mosquitto_disconnect_v5_callback_set(
      client_, [](struct mosquitto*, void* self_pointer, int reason_code, const mosquitto_property*) {
        auto& self = *static_cast<MqttConnection*>(self_pointer);
        if (reason_code == MQTT_RC_SESSION_TAKEN_OVER) {
          self.fail("another client connected to " + self.address_ + " as '" + self.broker_.client_id +
                    "'; give each its own --mqtt-client-id");
        }
      });
  mosquitto_message_v5_callback_set(
      client_, [](struct mosquitto*, void* self, const mosquitto_message* message, const mosquitto_property*) {
        static_cast<MqttConnection*>(self)->handlers_.received(*message);
      });
  mosquitto_publish_v5_callback_set(
      client_, [](struct mosquitto*, void* self, int id, int reason_code, const mosquitto_property*) {
        static_cast<MqttConnection*>(self)->handlers_.published(id, reason_code);
      });
  mosquitto_subscribe_v5_callback_set(client_, [](struct mosquitto*, void* self_pointer, int, int count,
                                                  const int* granted, const mosquitto_property*) {
    auto& self = *static_cast<MqttConnection*>(self_pointer);
    for (int i = 0; i < count; ++i) {
      if (granted[i] >= kFirstRefusal)
        self.fail("broker " + self.address_ + " refuses the subscription: " + mosquitto_reason_string(granted[i]));
    }
  });
}

MqttConnection::~MqttConnection() {
  stopping_ = true;
  look_again();
  if (thread_.joinable()) thread_.join();
  mosquitto_destroy(client_);
  close(wake_fd_);
}

void MqttConnection::start() {
  thread_ = std::thread([this] { run(); });
  std::unique_lock lock(mutex_);
  attempted_.wait(lock, [this] { return has_attempted_; });
  lock.unlock();
  throw_if_failed();
}

void MqttConnection::stop() {
  if (!thread_.joinable()) return;
  farewell_ = true;
  stopping_ = true;
  look_again();
  thread_.join();
}

void MqttConnection::subscribe(const std::string& filter, int qos) {
  // Retained messages are old; ignore them.
  mosquitto_subscribe_v5(client_, nullptr, filter.c_str(), qos, MQTT_SUB_OPT_SEND_RETAIN_NEVER, nullptr);
  look_again();
}

int MqttConnection::publish(const std::string& topic, const std::string& text, int qos, bool retain) {
  int id = -1;
  const int code = mosquitto_publish_v5(client_, &id, topic.c_str(), static_cast<int>(text.size()), text.data(), qos,
                                        retain, nullptr);
  look_again();
  const bool will_go =
      code == MOSQ_ERR_SUCCESS || (qos > 0 && (code == MOSQ_ERR_NO_CONN || code == MOSQ_ERR_CONN_LOST));
  return will_go ? id : -1;
}

void MqttConnection::look_again() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

void MqttConnection::throw_if_failed() const {
  std::lock_guard lock(mutex_);
  if (!failure_.empty()) throw Error("mqtt: " + failure_);
}

void MqttConnection::fail(const std::string& message) {
  {
    std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = message;
    has_attempted_ = true;
  }
  stopping_ = true;
  attempted_.notify_all();
  handlers_.state_changed();
}

int MqttConnection::connect() {
  mosquitto_property* properties = nullptr;
  mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, session_expiry_s_);
  const int port = broker_.port != 0 ? broker_.port : broker_.tls ? 8883 : 1883;
  const int code = mosquitto_connect_bind_v5(client_, broker_.host.c_str(), port, kKeepalive_s, nullptr, properties);
  const int error = errno;
  mosquitto_property_free_all(&properties);
  errno = error;
  return code;
}

void MqttConnection::lose(const std::string& what, int code) {
  const std::string message = "broker " + address_ + " " + what + ": " + describe(code);
  if (is_lasting(code) && !was_connected_) {
    fail(message);
  } else {
    tell(LogLevel::kWarning, message + "; trying again");
  }
}

void MqttConnection::run() {
  std::minstd_rand random(std::random_device{}());
  auto pause = kFirstPause;
  while (!stopping_) {
    if (const int code = connect(); code != MOSQ_ERR_SUCCESS) {
      lose("cannot be reached", code);
    } else {
      const int end = serve();
      if (connected_.exchange(false)) pause = kFirstPause;
      if (!stopping_) lose(was_connected_ ? "is lost" : "does not let this client in", end);
      handlers_.state_changed();
    }
    {
      std::lock_guard lock(mutex_);
      has_attempted_ = true;
    }
    attempted_.notify_all();
    if (stopping_) break;
    // Random delays, so that a fleet of clients does not reconnect all at once when the broker restarts.
    const auto now = std::chrono::steady_clock::now();
    const auto next = now + pause + pause * std::uniform_int_distribution(0, 50)(random) / 100;
    while (!stopping_ && std::chrono::steady_clock::now() < next) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    pause = std::min(2 * pause, kLongestPause);
  }
}

// Runs until the connection is lost or ended; returns the reason.
int MqttConnection::serve() {
  while (!stopping_) {
    const int socket = mosquitto_socket(client_);
    if (socket < 0) return MOSQ_ERR_CONN_LOST;
    const bool sends = may_send() && mosquitto_want_write(client_);
    pollfd wanted[2] = {{socket, static_cast<short>(POLLIN | (sends ? POLLOUT : 0)), 0}, {wake_fd_, POLLIN, 0}};
    poll(wanted, 2, 1000);
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = read(wake_fd_, &count, sizeof count);
    int code = MOSQ_ERR_SUCCESS;
    if (wanted[0].revents & ~POLLOUT) code = mosquitto_loop_read(client_, 1);
    if (code == MOSQ_ERR_SUCCESS && may_send()) {
      if (mosquitto_want_write(client_)) code = mosquitto_loop_write(client_, 1);
      if (code == MOSQ_ERR_SUCCESS) code = mosquitto_loop_misc(client_);
    }
    if (code != MOSQ_ERR_SUCCESS) return code;
  }
  if (farewell_ && connected_ && handlers_.may_send()) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    mosquitto_disconnect_v5(client_, MQTT_RC_NORMAL_DISCONNECTION, nullptr);
    while (mosquitto_socket(client_) >= 0 && mosquitto_want_write(client_) &&
           std::chrono::steady_clock::now() < deadline) {
      pollfd writable = {mosquitto_socket(client_), POLLOUT, 0};
      poll(&writable, 1, 100);
      if (mosquitto_loop_write(client_, 1) != MOSQ_ERR_SUCCESS) break;
    }
  }
  return MOSQ_ERR_SUCCESS;
}

}  // namespace coil::sensor
