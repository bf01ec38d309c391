// Reads records from a Kafka topic and writes results to another one. Every record is answered exactly once, even if
// workers crash.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>

#include "sensor/links/sink.h"
#include "sensor/links/source.h"
#include "sensor/service/log.h"

struct rd_kafka_conf_s;
struct rd_kafka_s;
struct rd_kafka_message_s;
struct rd_kafka_topic_partition_list_s;

namespace coil::sensor {

struct KafkaOptions {
  std::string brokers;         // host:port,host:port
  std::string topic;           // of records; producers should use the sensor as key, so that Kafka keeps its records in
                               // one partition
  std::string out_topic;       // of results, with at least as many partitions; empty: results go elsewhere
  std::string group = "coil";  // the workers of a group share the partitions
  std::string
      config_file;  // further librdkafka properties, one name=value per line (passwords, certificates, time-outs)
  std::function<bool()> stopped = [] { return false; };  // waiting for the cluster ends when this returns true
};

// Splits "broker:9092,other:9092/topic" into brokers and topic. Throws Error.
void set_address(KafkaOptions& options, const std::string& address);

// A worker that gets a partition continues at the offset in the engine's checkpoint of that partition. Results that its
// predecessor wrote after the checkpoint are computed again, because the state needs the records, but not written
// again. To know them, every result goes to the partition of its record and carries the record's position in the header
// `coil-source` (topic/partition/offset). Each commit of an offset also stores the current end of the results in its
// metadata ("results=1234"), so that only the end of the result partition must be read. If the commit is older than the
// checkpoint, a little more is read. Transactions would need a commit for every batch. They could not be tested with
// librdkafka's mock cluster, which shows aborted messages to readers.
//
// One case remains: a worker that stalls for longer than the group's session time-out and then continues may write its
// pending results a second time. The header lets a reader drop them.
class KafkaLink final : public Source, public Sink {
 public:
  // Waits for the cluster. Throws Error for options that cannot work and topics that do not match.
  KafkaLink(const KafkaOptions& options, const Log& log);
  ~KafkaLink() override;  // leaves the group without calling hooks

  void set_partition_hooks(PartitionHooks hooks) override { hooks_ = std::move(hooks); }
  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;
  void write(const Result& result) override;
  void note(const Silence& silence) override;
  void flush() override;  // throws Error if results could not be delivered; no checkpoint may cover them then
  void saved(const std::string& topic, int32_t partition, int64_t offset) override;

  int64_t lag() const { return lag_; }                     // unread messages in this worker's partitions [any thread]
  uint64_t deduplicated() const { return deduplicated_; }  // results that already existed [any thread]

 private:
  struct Handle;  // of librdkafka
  struct Partition {
    int64_t next = -1;                     // offset of the next message that read() returns
    int64_t committed = -1;                // the group's committed offset
    int64_t results_end = 0;               // offset after the last result in the result topic
    std::unordered_set<int64_t> answered;  // records whose results exist but that were not read again yet
  };

  static void set_consumer_callbacks(rd_kafka_conf_s* configuration);
  static void set_producer_callbacks(rd_kafka_conf_s* configuration);
  static void rebalance(rd_kafka_s* client, int error, rd_kafka_topic_partition_list_s* partitions, void* self);
  void assigned(rd_kafka_topic_partition_list_s* partitions);
  void revoked(const rd_kafka_topic_partition_list_s* partitions);
  int64_t results_end_at(int64_t offset, int32_t index) const;
  void find_answered(int32_t index, int64_t begin, Partition& partition);
  void delivered(const rd_kafka_message_s& result);
  void produce(int32_t partition, std::string_view key, std::string_view text, std::string_view source);
  void take(const rd_kafka_message_s& message, std::vector<Message>& messages);
  int partitions_of(const std::string& topic);
  void update_lag();
  void tell(LogLevel level, const std::string& message) const { log_.write(level, "kafka", message); }

  const KafkaOptions options_;
  const Log& log_;
  PartitionHooks hooks_;
  std::unique_ptr<Handle> consumer_, producer_;
  std::map<int32_t, Partition> partitions_;     // of this worker
  std::vector<Message>* being_read_ = nullptr;  // inside read()
  std::exception_ptr thrown_;                   // thrown by a hook inside librdkafka's callback
  std::string undelivered_;                     // why a result could not be delivered
  std::atomic<int64_t> lag_{0};
  std::atomic<uint64_t> deduplicated_{0};
};

}  // namespace coil::sensor
