// Reads records from an MQTT broker and writes results back.
#include "sensor/links/mqtt_link.h"

#include <mosquitto.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "sensor/links/home_assistant.h"
#include "base/error.h"

namespace coil::sensor {
namespace {

using std::chrono::milliseconds;
constexpr uint32_t kSessionExpiry_s = 86'400;
constexpr size_t kMaxResultsUnderWay = 2000;
constexpr milliseconds kLook{50}, kPatienceOnceStopped{2000};
constexpr double kLeastExpiry_s = 10, kMostExpiry_s = 1e9;
constexpr int kFirstRefusal = 128;

size_t window(const MqttOptions& options) { return std::clamp<size_t>(options.queue_records, 1, 65'535); }

std::string text_of(const mosquitto_message& message) {
  return {static_cast<const char*>(message.payload), static_cast<size_t>(message.payloadlen)};
}

size_t hash_of(const mosquitto_message& message) {
  const std::string_view payload(static_cast<const char*>(message.payload), static_cast<size_t>(message.payloadlen));
  return std::hash<std::string_view>()(message.topic) * 31 + std::hash<std::string_view>()(payload);
}

bool reads(const std::string& filter, const std::string& topic) {
  bool result = false;
  return mosquitto_topic_matches_sub(filter.c_str(), topic.c_str(), &result) == MOSQ_ERR_SUCCESS && result;
}

MqttOptions completed(MqttOptions options) {
  check(options);
  if (options.status_topic.empty() && !options.out_topic.empty()) options.status_topic = options.out_topic + "-status";
  return options;
}

// Converts any text to the rest of a topic. Texts that must be changed get a unique name, so that two sensors never
// share a topic.
std::string topic_rest(const std::string& sensor) {
  const bool is_plain =
      !sensor.empty() && sensor.size() < 1024 && sensor.find_first_of("+#") == std::string::npos &&
      std::none_of(sensor.begin(), sensor.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }) &&
      mosquitto_validate_utf8(sensor.data(), static_cast<int>(sensor.size())) == MOSQ_ERR_SUCCESS;
  return is_plain ? sensor : plain_name(sensor);
}

MqttBroker with_suffix(MqttBroker broker, const char* suffix) {
  broker.client_id += suffix;
  return broker;
}

}  // namespace

void check(const MqttOptions& options) {
  if (options.topic.starts_with("$share/")) {
    throw Error("--mqtt: the topic '" + options.topic +
                "' is a shared subscription: it spreads the records of one sensor over several workers, each of which "
                "would know half of its past; "
                "give each worker its own topics, or use Kafka, where a sensor stays with one worker");
  }
  if (mosquitto_sub_topic_check(options.topic.c_str()) != MOSQ_ERR_SUCCESS)
    throw Error("--mqtt: '" + options.topic + "' is not a topic filter");
  if (options.qos != 0 && options.qos != 1)
    throw Error("--mqtt-qos " + std::to_string(options.qos) + ": must be 0 or 1");
  if (options.broker.certificate_file.empty() != options.broker.key_file.empty())
    throw Error("--mqtt-cert and --mqtt-key go together");
  if (options.out_topic.empty()) {
    if (options.home_assistant) throw Error("--home-assistant: needs --mqtt-out, the topic of the results");
    if (!options.status_topic.empty()) throw Error("--mqtt-status: needs --mqtt-out, the topic of the results");
    return;
  }
  if (mosquitto_pub_topic_check(options.out_topic.c_str()) != MOSQ_ERR_SUCCESS || options.out_topic.ends_with('/')) {
    throw Error(
        "--mqtt-out: '" + options.out_topic +
        "' is not a topic; the results go to topics below it, so it must have no wildcards and no '/' at its end");
  }
  if (!options.status_topic.empty() && mosquitto_pub_topic_check(options.status_topic.c_str()) != MOSQ_ERR_SUCCESS) {
    throw Error("--mqtt-status: '" + options.status_topic + "' is not a topic");
  }
  for (const std::string& topic : {options.out_topic + "/sensor", options.status_topic}) {
    if (!topic.empty() && reads(options.topic, topic)) {
      throw Error("--mqtt: the topic '" + options.topic + "' also matches '" + topic +
                  "': results would be read as records; choose another --mqtt-out");
    }
  }
}

void set_address(MqttOptions& options, const std::string& address) {
  const Error error("--mqtt '" + address +
                    "': expected broker/topic or broker:port/topic, for example localhost/sensors/+/temperature");
  const size_t slash = address.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == address.size()) throw error;
  std::string broker = address.substr(0, slash);
  options.topic = address.substr(slash + 1);
  options.broker.port = 0;
  const size_t colon = broker.rfind(':');
  const bool is_bracketed = broker.starts_with('[');
  if (colon != std::string::npos && (!is_bracketed || colon > broker.find(']'))) {
    const char* end = broker.data() + broker.size();
    const auto [stop, failure] = std::from_chars(broker.data() + colon + 1, end, options.broker.port);
    if (failure != std::errc() || stop != end || options.broker.port < 1 || options.broker.port > 65'535) throw error;
    broker.resize(colon);
  }
  if (is_bracketed && broker.ends_with(']')) broker = broker.substr(1, broker.size() - 2);
  if (broker.empty()) throw error;
  options.broker.host = broker;
}

MqttLink::MqttLink(const MqttOptions& options, const Log& log)
    : options_(completed(options)),
      log_(log),
      in_(options_.broker, {}, static_cast<int>(window(options_)), kSessionExpiry_s,
          {.connected = [this](bool session_present) { connected(session_present); },
           .received = [this](const mosquitto_message& message) { received(message); },
           .state_changed = [this] { changed_.notify_all(); },
           .may_send = [this] { return may_acknowledge(); }},
          log),
      out_(with_suffix(options_.broker, "-results"), {options_.status_topic, "offline"}, 1, 0,
           {.connected = [this](bool) { send(options_.status_topic, "online", true); },
            .published =
                [this](int, int reason_code) {
                  {
                    std::lock_guard lock(mutex_);
                    if (options_.qos > 0 && results_under_way_ > 0) --results_under_way_;
                    if (reason_code >= kFirstRefusal) {
                      ++counts_.refused_results;
                      if (!std::exchange(has_told_of_refusal_, true)) {
                        log_.write(LogLevel::kError, "mqtt",
                                   std::string("the broker refuses results: ") + mosquitto_reason_string(reason_code));
                      }
                    }
                  }
                  changed_.notify_all();
                },
            .state_changed = [this] { changed_.notify_all(); }},
           log) {
  if (!options_.out_topic.empty()) out_.start();
  in_.start();
}

MqttLink::~MqttLink() {
  if (!options_.out_topic.empty()) {
    send(options_.status_topic, "offline", true);
    out_.stop();
  }
  in_.stop();
}

void MqttLink::throw_if_failed() const {
  in_.throw_if_failed();
  out_.throw_if_failed();
}

void MqttLink::connected(bool session_present) {
  {
    std::lock_guard lock(mutex_);
    may_come_again_.clear();
    if (session_present) {
      for (const Received& received : recent_) may_come_again_[received.id] = received.hash;
    }
    recent_.clear();
  }
  in_.subscribe(options_.topic, options_.qos);
}

// Whether the engine already had this message: its acknowledgement was lost with the connection. [connection's thread,
// locked]
bool MqttLink::is_repeated(const mosquitto_message& message) {
  const size_t hash = hash_of(message);
  recent_.push_back({message.mid, hash});
  if (recent_.size() > window(options_)) {
    recent_.pop_front();
    may_come_again_.clear();
  }
  const auto known = may_come_again_.find(message.mid);
  const bool result = known != may_come_again_.end() && known->second == hash;
  if (known != may_come_again_.end()) may_come_again_.erase(known);
  return result;
}

void MqttLink::received(const mosquitto_message& message) {
  std::lock_guard lock(mutex_);
  if (message.qos > 0 && is_repeated(message)) {
    ++counts_.redelivered;
    return;
  }
  if (message.qos == 0 && queue_.size() >= options_.queue_records) {
    const auto oldest =
        std::find_if(queue_.begin(), queue_.end(), [](const Waiting& waiting) { return waiting.qos == 0; });
    ++counts_.dropped_records;
    if (oldest == queue_.end()) return;
    queue_.erase(oldest);
  }
  queue_.push_back({{message.topic, text_of(message)}, message.qos});
  if (message.qos > 0) ++queued_unacknowledged_;
  changed_.notify_all();
}

bool MqttLink::may_acknowledge() const {
  std::lock_guard lock(mutex_);
  return taken_ == 0 && queued_unacknowledged_ == 0;
}

bool MqttLink::read(std::vector<Message>& messages, milliseconds wait) {
  throw_if_failed();
  const auto deadline = std::chrono::steady_clock::now() + wait;
  std::unique_lock lock(mutex_);
  while (queue_.empty() && !options_.stopped() && std::chrono::steady_clock::now() < deadline) {
    changed_.wait_until(lock, std::min(deadline, std::chrono::steady_clock::now() + kLook));
  }
  for (Waiting& waiting : queue_) messages.push_back(std::move(waiting.message));
  queue_.clear();
  taken_ += std::exchange(queued_unacknowledged_, 0);
  lock.unlock();
  throw_if_failed();
  return true;
}

void MqttLink::send(const std::string& topic, const std::string& text, bool retain) {
  {
    std::lock_guard lock(mutex_);
    if (options_.qos > 0) ++results_under_way_;
  }
  if (out_.publish(topic, text, options_.qos, retain) >= 0) return;
  std::lock_guard lock(mutex_);
  if (options_.qos > 0) --results_under_way_;
  ++counts_.dropped_results;
}

void MqttLink::announce(const Result& result, const std::string& sensor, const std::string& state_topic) {
  int64_t expire_s = 0;
  if (const double patience_s = options_.silence_times * result.usual_s; patience_s > 0)
    expire_s = static_cast<int64_t>(std::ceil(std::clamp(patience_s, kLeastExpiry_s, kMostExpiry_s)));
  const auto [place, is_new] = announced_.try_emplace(sensor, expire_s);
  int64_t& announced_s = place->second;
  // The interval is learnt after the first announcement, and may change.
  const bool is_other = expire_s > 0 && (2 * expire_s < announced_s || expire_s > 2 * announced_s);
  if (!is_new && !is_other) return;
  announced_s = expire_s;
  const DiscoveryTopics topics = {state_topic, options_.status_topic, expire_s};
  for (const DiscoveryMessage& message :
       discovery_messages(result, sensor, options_.prefix, options_.horizons, topics)) {
    send(message.topic, message.text, true);
  }
}

void MqttLink::write(const Result& result) {
  const std::string sensor = readable_key(result.key());
  const std::string topic = options_.out_topic + "/" + topic_rest(sensor);
  if (options_.home_assistant) announce(result, sensor, topic);
  wait_for_room();
  send(topic, std::string(result.text), false);
}

void MqttLink::note(const Silence& silence) {
  if (silence.text.empty()) return;
  wait_for_room();
  send(options_.out_topic + "/" + topic_rest(readable_key(silence.key)), std::string(silence.text), false);
}

void MqttLink::wait_for_room() {
  std::unique_lock lock(mutex_);
  while (results_under_way_ >= kMaxResultsUnderWay && !options_.stopped()) {
    changed_.wait_for(lock, kLook);
    lock.unlock();
    throw_if_failed();
    lock.lock();
  }
}

void MqttLink::flush() {
  std::unique_lock lock(mutex_);
  auto stopped_at = std::chrono::steady_clock::time_point::max();
  is_cut_off_ = false;
  while (results_under_way_ > 0) {
    const auto now = std::chrono::steady_clock::now();
    if (options_.stopped()) stopped_at = std::min(stopped_at, now);
    if (stopped_at <= now - kPatienceOnceStopped) {  // the broker is away; it will send the records again
      is_cut_off_ = true;
      return;
    }
    changed_.wait_for(lock, kLook);
    lock.unlock();
    throw_if_failed();
    lock.lock();
  }
}

void MqttLink::answered() {
  {
    const std::lock_guard lock(mutex_);
    if (is_cut_off_) return;
    taken_ = 0;
  }
  in_.look_again();
}

MqttLink::Counts MqttLink::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.reconnects = in_.reconnects();
  counts.waiting_records = queue_.size();
  return counts;
}

}  // namespace coil::sensor
