// Reads records from a Kafka topic and writes results to another one.
#include "sensor/links/kafka_link.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/error.h"

namespace coil::sensor {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
constexpr size_t kMaxBatch = 10'000;
constexpr int kAnswer_ms = 5000;
constexpr milliseconds kPatienceOnceStopped{3000}, kPatienceAtEnd{30'000};
constexpr const char* kSourceHeader = "coil-source";
constexpr std::string_view kResultsMark = "results=";

using Properties = std::vector<std::pair<std::string, std::string>>;

Properties read_properties(const std::string& file) {
  Properties properties;
  if (file.empty()) return properties;
  std::ifstream in(file);
  if (!in) throw Error("--kafka-config '" + file + "': cannot be read");
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const auto trimmed = [](const std::string& text) {
      const size_t begin = text.find_first_not_of(" \t\r");
      return begin == std::string::npos ? std::string()
                                        : text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
    };
    line = trimmed(line);
    if (line.empty() || line.front() == '#') continue;
    const size_t equals = line.find('=');
    if (equals == std::string::npos)
      throw Error("--kafka-config '" + file + "', line " + std::to_string(number) + ": expected name=value");
    properties.emplace_back(trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1)));
  }
  return properties;
}

std::string place(const std::string& topic, int32_t partition) { return topic + "[" + std::to_string(partition) + "]"; }

std::string source_text(const Message& message) {
  return message.topic + "/" + std::to_string(message.partition) + "/" + std::to_string(message.offset);
}

// The offset of the record that a message of the result topic answers; -1: none of this partition.
int64_t source_offset(const rd_kafka_message_t* message, const std::string& topic, int32_t partition) {
  rd_kafka_headers_t* headers = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return -1;
  if (rd_kafka_header_get_last(headers, kSourceHeader, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) return -1;
  const std::string_view text(static_cast<const char*>(value), size);
  const std::string begin = topic + "/" + std::to_string(partition) + "/";
  int64_t offset = -1;
  if (text.starts_with(begin)) std::from_chars(text.data() + begin.size(), text.data() + text.size(), offset);
  return offset;
}

struct FreeMessage {
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
struct FreeList {
  void operator()(rd_kafka_topic_partition_list_t* list) const { rd_kafka_topic_partition_list_destroy(list); }
};
using MessagePointer = std::unique_ptr<rd_kafka_message_t, FreeMessage>;
using ListPointer = std::unique_ptr<rd_kafka_topic_partition_list_t, FreeList>;

}  // namespace

// A librdkafka client. Its three uses here differ in properties and callbacks.
struct KafkaLink::Handle {
  Handle(rd_kafka_type_t type, const KafkaLink& link, const Properties& properties,
         void (*set_callbacks)(rd_kafka_conf_t*)) {
    rd_kafka_conf_t* configuration = rd_kafka_conf_new();
    char reason[512];
    Properties all = {
        {"bootstrap.servers", link.options_.brokers}, {"client.id", "coil"}, {"log.thread.name", "false"}};
    all.insert(all.end(), properties.begin(), properties.end());
    const size_t own = all.size();
    const Properties further = read_properties(link.options_.config_file);
    all.insert(all.end(), further.begin(), further.end());
    for (size_t i = 0; i < all.size(); ++i) {
      const auto& [name, value] = all[i];
      if (rd_kafka_conf_set(configuration, name.c_str(), value.c_str(), reason, sizeof reason) != RD_KAFKA_CONF_OK) {
        rd_kafka_conf_destroy(configuration);
        throw Error((i < own ? std::string("--kafka") : "--kafka-config '" + link.options_.config_file + "'") + ": " +
                    reason);
      }
    }
    rd_kafka_conf_set_opaque(configuration, const_cast<KafkaLink*>(&link));
    rd_kafka_conf_set_log_cb(configuration,
                             [](const rd_kafka_t* client, int level, const char* facility, const char* text) {
                               if (std::string_view(facility) == "CONFWARN")
                                 return;  // one file configures both consumers and producers
                               const auto& self = *static_cast<const KafkaLink*>(rd_kafka_opaque(client));
                               self.tell(level <= 4 ? LogLevel::kWarning : LogLevel::kInfo, text);
                             });
    set_callbacks(configuration);
    client = rd_kafka_new(type, configuration, reason, sizeof reason);
    if (!client) {
      rd_kafka_conf_destroy(configuration);
      throw Error(std::string("--kafka: ") + reason);
    }
    if (type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(client);
  }
  ~Handle() { rd_kafka_destroy(client); }
  Handle(const Handle&) = delete;

  rd_kafka_t* client;
};

void set_address(KafkaOptions& options, const std::string& address) {
  const size_t slash = address.rfind('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == address.size()) {
    throw Error("--kafka '" + address + "': expected brokers/topic, for example localhost:9092/sensors");
  }
  options.brokers = address.substr(0, slash);
  options.topic = address.substr(slash + 1);
  if (options.topic.front() == '^') throw Error("--kafka '" + address + "': one topic, not a pattern");
}

void KafkaLink::set_consumer_callbacks(rd_kafka_conf_t* configuration) {
  rd_kafka_conf_set_rebalance_cb(
      configuration, [](rd_kafka_t* client, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions,
                        void* self) { rebalance(client, error, partitions, self); });
  // Commits fail while partitions move; the next checkpoint commits again.
  rd_kafka_conf_set_offset_commit_cb(configuration, [](rd_kafka_t*, rd_kafka_resp_err_t,
                                                       rd_kafka_topic_partition_list_t* committed, void* self_pointer) {
    auto& self = *static_cast<KafkaLink*>(self_pointer);
    for (int i = 0; committed && i < committed->cnt; ++i) {
      const auto known = self.partitions_.find(committed->elems[i].partition);
      if (known == self.partitions_.end() || committed->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
      known->second.committed = committed->elems[i].offset;
    }
  });
}

void KafkaLink::set_producer_callbacks(rd_kafka_conf_t* configuration) {
  rd_kafka_conf_set_dr_msg_cb(configuration, [](rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
    static_cast<KafkaLink*>(self)->delivered(*message);
  });
}

KafkaLink::KafkaLink(const KafkaOptions& options, const Log& log) : options_(options), log_(log) {
  const Properties consumer = {{"group.id", options.group},
                               {"enable.auto.commit", "false"},
                               {"enable.auto.offset.store", "false"},
                               {"auto.offset.reset", "earliest"},
                               {"partition.assignment.strategy", "cooperative-sticky"},
                               {"queued.max.messages.kbytes", "16384"}};
  consumer_ = std::make_unique<Handle>(RD_KAFKA_CONSUMER, *this, consumer, set_consumer_callbacks);
  const int count = partitions_of(options.topic);
  if (!options.out_topic.empty()) {
    const Properties producer = {{"enable.idempotence", "true"}, {"queue.buffering.max.kbytes", "16384"}};
    producer_ = std::make_unique<Handle>(RD_KAFKA_PRODUCER, *this, producer, set_producer_callbacks);
    const int out_count = partitions_of(options.out_topic);
    if (out_count < count) {
      throw Error("--kafka-out " + options.out_topic + ": has " + std::to_string(out_count) + " partitions and " +
                  options.topic + " has " + std::to_string(count) +
                  "; a result goes to the partition of its record, so it needs as many");
    }
  }
  ListPointer topics(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(topics.get(), options.topic.c_str(), RD_KAFKA_PARTITION_UA);
  const rd_kafka_resp_err_t error = rd_kafka_subscribe(consumer_->client, topics.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) throw Error("--kafka " + options.topic + ": " + rd_kafka_err2str(error));
}

KafkaLink::~KafkaLink() {
  hooks_ = {};
  rd_kafka_consumer_close(consumer_->client);
}

int KafkaLink::partitions_of(const std::string& topic) {
  std::string told;
  while (!options_.stopped()) {
    const rd_kafka_metadata_t* metadata = nullptr;
    rd_kafka_t* client = consumer_->client;
    rd_kafka_topic_t* handle = rd_kafka_topic_new(client, topic.c_str(), nullptr);
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, handle, &metadata, 2000);
    int count = 0;
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      error = metadata->topics[0].err;
      count = metadata->topics[0].partition_cnt;
      rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(handle);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && count > 0) return count;
    const std::string reason = "topic " + topic + " at " + options_.brokers +
                               " is not to be had: " + rd_kafka_err2str(error) + "; trying again";
    if (std::exchange(told, reason) != reason) tell(LogLevel::kWarning, reason);
    rd_kafka_consumer_poll(client, 500);
  }
  throw Error("--kafka: stopped before " + options_.brokers + " answered");
}

void KafkaLink::rebalance(rd_kafka_t* client, int error, rd_kafka_topic_partition_list_t* partitions,
                          void* self_pointer) {
  auto& self = *static_cast<KafkaLink*>(self_pointer);
  const bool is_cooperative = std::string_view(rd_kafka_rebalance_protocol(client)) == "COOPERATIVE";
  rd_kafka_error_t* failure = nullptr;
  try {
    if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      self.assigned(partitions);
    } else {
      self.revoked(partitions);
    }
  } catch (...) {
    self.thrown_ = std::current_exception();
  }
  if (error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !self.thrown_) {
    if (is_cooperative) {
      failure = rd_kafka_incremental_assign(client, partitions);
    } else {
      rd_kafka_assign(client, partitions);
    }
  } else if (is_cooperative && error == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) {
    failure = rd_kafka_incremental_unassign(client, partitions);
  } else {
    rd_kafka_assign(client, nullptr);
  }
  if (!failure) return;
  self.tell(LogLevel::kError, std::string("rebalance: ") + rd_kafka_error_string(failure));
  rd_kafka_error_destroy(failure);
}

void KafkaLink::assigned(rd_kafka_topic_partition_list_t* partitions) {
  for (int i = 0; i < partitions->cnt; ++i) {
    rd_kafka_topic_partition_t& assigned = partitions->elems[i];
    Partition& partition = partitions_[assigned.partition] = {};
    const int64_t offset = hooks_.assigned ? hooks_.assigned(assigned.topic, assigned.partition) : -1;
    assigned.offset = offset >= 0 ? offset : RD_KAFKA_OFFSET_INVALID;
    if (producer_) find_answered(assigned.partition, results_end_at(offset, assigned.partition), partition);
    const std::string begin =
        offset >= 0 ? "continues from its checkpoint at offset " + std::to_string(offset) : "has no checkpoint";
    tell(LogLevel::kInfo, "assigned " + place(assigned.topic, assigned.partition) + ": " + begin + ", " +
                              std::to_string(partition.answered.size()) + " results found that may come again");
  }
}

void KafkaLink::revoked(const rd_kafka_topic_partition_list_t* partitions) {
  if (!hooks_.revoked) return;
  flush();
  for (int i = 0; i < partitions->cnt; ++i) {
    const int32_t index = partitions->elems[i].partition;
    // Messages that were read but not processed: the partition's next owner reads them again.
    if (being_read_)
      std::erase_if(*being_read_, [index](const Message& message) { return message.partition == index; });
    hooks_.revoked(partitions->elems[i].topic, index);
    partitions_.erase(index);
    tell(LogLevel::kInfo, "revoked " + place(partitions->elems[i].topic, index));
  }
}

// Where the results ended when the group committed an offset, if the checkpoint covers that commit; else 0: search all
// results.
int64_t KafkaLink::results_end_at(int64_t offset, int32_t index) const {
  ListPointer list(rd_kafka_topic_partition_list_new(1));
  const rd_kafka_topic_partition_t& committed =
      *rd_kafka_topic_partition_list_add(list.get(), options_.topic.c_str(), index);
  const rd_kafka_resp_err_t error = rd_kafka_committed(consumer_->client, list.get(), kAnswer_ms);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR || committed.err != RD_KAFKA_RESP_ERR_NO_ERROR) return 0;
  const std::string_view text(static_cast<const char*>(committed.metadata), committed.metadata_size);
  if (!text.starts_with(kResultsMark) || (offset >= 0 && committed.offset > offset)) return 0;
  int64_t end = 0;
  std::from_chars(text.data() + kResultsMark.size(), text.data() + text.size(), end);
  return end;
}

// Reads the result topic's partition from `begin` to its end.
void KafkaLink::find_answered(int32_t index, int64_t begin, Partition& partition) {
  const Properties properties = {
      {"group.id", options_.group}, {"enable.auto.commit", "false"}, {"enable.partition.eof", "true"}};
  const Handle reader(RD_KAFKA_CONSUMER, *this, properties, [](rd_kafka_conf_t*) {});
  const auto check = [&](rd_kafka_resp_err_t error) {
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    throw Error("kafka: the end of " + place(options_.out_topic, index) +
                " cannot be read: " + rd_kafka_err2str(error));
  };
  int64_t low = 0;
  check(rd_kafka_query_watermark_offsets(reader.client, options_.out_topic.c_str(), index, &low, &partition.results_end,
                                         kAnswer_ms));
  begin = std::max(begin, low);
  if (begin >= partition.results_end) return;
  ListPointer list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), options_.out_topic.c_str(), index)->offset = begin;
  check(rd_kafka_assign(reader.client, list.get()));
  for (auto patience = steady_clock::now() + kPatienceAtEnd;;) {
    const MessagePointer message(rd_kafka_consumer_poll(reader.client, 100));
    if (!message || (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)) {
      if (steady_clock::now() > patience) check(message ? message->err : RD_KAFKA_RESP_ERR__TIMED_OUT);
      continue;
    }
    // If the last entry is the marker of a transaction, which readers never see, the end is not a message.
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) break;
    patience = steady_clock::now() + kPatienceAtEnd;
    if (const int64_t offset = source_offset(message.get(), options_.topic, index); offset >= 0)
      partition.answered.insert(offset);
    if (message->offset + 1 >= partition.results_end) break;
  }
}

void KafkaLink::delivered(const rd_kafka_message_s& result) {
  if (result.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (undelivered_.empty()) undelivered_ = rd_kafka_err2str(result.err);
  } else if (const auto known = partitions_.find(result.partition); known != partitions_.end()) {
    known->second.results_end = std::max(known->second.results_end, result.offset + 1);
  }
}

void KafkaLink::take(const rd_kafka_message_t& message, std::vector<Message>& messages) {
  Partition& partition = partitions_[message.partition];
  partition.next = message.offset + 1;
  messages.push_back({.topic = options_.topic,
                      .text = std::string(static_cast<const char*>(message.payload), message.len),
                      .partition = message.partition,
                      .offset = message.offset});
}

bool KafkaLink::read(std::vector<Message>& messages, milliseconds wait) {
  being_read_ = &messages;
  for (int wait_ms = static_cast<int>(wait.count()); messages.size() < kMaxBatch; wait_ms = 0) {
    const MessagePointer message(rd_kafka_consumer_poll(consumer_->client, wait_ms));
    if (thrown_ || !message) break;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      take(*message, messages);
    } else if (message->err == RD_KAFKA_RESP_ERR__FATAL) {
      throw Error(std::string("kafka: ") + rd_kafka_message_errstr(message.get()));
    } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      tell(LogLevel::kWarning, rd_kafka_message_errstr(message.get()));
    }
  }
  being_read_ = nullptr;
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  if (producer_) rd_kafka_poll(producer_->client, 0);
  update_lag();
  return true;
}

void KafkaLink::update_lag() {
  int64_t lag = 0;
  for (const auto& [index, partition] : partitions_) {
    int64_t low = 0, high = 0;
    const auto error = rd_kafka_get_watermark_offsets(consumer_->client, options_.topic.c_str(), index, &low, &high);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR && partition.next >= 0 && high > partition.next)
      lag += high - partition.next;
  }
  lag_ = lag;
}

void KafkaLink::write(const Result& result) {
  const Message& message = *result.message;
  const auto known = partitions_.find(message.partition);
  if (known == partitions_.end())
    throw Error("kafka: a result for " + place(message.topic, message.partition) + ", which this worker does not have");
  if (known->second.answered.erase(message.offset) > 0) {
    ++deduplicated_;
    return;
  }
  produce(message.partition, readable_key(result.key()), result.text, source_text(message));
}

// It answers no record. So it has no source, and may be repeated after a restart.
void KafkaLink::note(const Silence& silence) {
  if (!silence.text.empty()) produce(silence.partition, readable_key(silence.key), silence.text, {});
}

void KafkaLink::produce(int32_t partition, std::string_view key, std::string_view text, std::string_view source) {
  for (;;) {
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        producer_->client, RD_KAFKA_V_TOPIC(options_.out_topic.c_str()), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key.data(), key.size()),
        RD_KAFKA_V_VALUE(const_cast<char*>(text.data()), text.size()),
        RD_KAFKA_V_HEADER(kSourceHeader, source.data(), static_cast<ssize_t>(source.size())), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return;
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL || options_.stopped()) {
      throw Error("kafka: a result cannot be written to " + place(options_.out_topic, partition) + ": " +
                  rd_kafka_err2str(error));
    }
    rd_kafka_poll(producer_->client, 50);
  }
}

void KafkaLink::flush() {
  if (!producer_) return;
  auto stopped_at = steady_clock::time_point::max();
  while (undelivered_.empty() && rd_kafka_flush(producer_->client, 100) == RD_KAFKA_RESP_ERR__TIMED_OUT) {
    if (options_.stopped()) stopped_at = std::min(stopped_at, steady_clock::now());
    if (stopped_at <= steady_clock::now() - kPatienceOnceStopped)
      undelivered_ = "stopped while the cluster did not answer";
  }
  if (!undelivered_.empty()) {
    throw Error("kafka: results could not be delivered to " + options_.out_topic + " (" + undelivered_ +
                "); the next start continues from the last checkpoint");
  }
}

void KafkaLink::saved(const std::string& topic, int32_t index, int64_t offset) {
  const auto known = partitions_.find(index);
  if (known == partitions_.end() || offset < 0 || offset == known->second.committed) return;
  ListPointer list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_t& committed = *rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), index);
  committed.offset = offset;
  const std::string metadata = std::string(kResultsMark) + std::to_string(known->second.results_end);
  committed.metadata = std::malloc(metadata.size());  // freed by the list
  committed.metadata_size = metadata.size();
  std::memcpy(committed.metadata, metadata.data(), metadata.size());
  rd_kafka_commit(consumer_->client, list.get(), 1);
}

}  // namespace coil::sensor
