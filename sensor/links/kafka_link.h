// Records from a Kafka topic and results to another one: every record is answered once, whichever worker dies when.
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
  std::string topic;           // records; its producers choose the partition by the sensor, as Kafka does by the key
  std::string out_topic;       // results; at least as many partitions. Empty: results go elsewhere
  std::string group = "coil";  // workers of one group share the partitions
  std::string
      config_file;  // further properties of librdkafka, a line each: name=value (passwords, certificates, time-outs)
  std::function<bool()> stopped = [] { return false; };  // waiting for the cluster ends when this becomes true
};

// "broker:9092,other:9092/topic" into brokers and topic. Throws Error.
void set_address(KafkaOptions& options, const std::string& address);

// A worker that gets a partition goes on at the offset that the engine's checkpoint of the partition names. What its
// predecessor answered after that checkpoint is computed again, because the state needs the records, and not written
// again: every result lies in the partition of its record and carries the record's place in the header `coil-source`
// (topic/partition/offset), and each commit of an offset says in its metadata where the results ended then
// ("results=1234"), so that the end of the result partition tells what is there. The commit may be older than the
// checkpoint, then a little more is looked through. Transactions would need a commit for every batch, and could not be
// tested against the cluster that librdkafka brings along, which lets readers see what was aborted.
//
// What remains: a worker that stands still for longer than the group's session time-out and then goes on may write what
// was under way in it a second time; the header lets a reader drop that.
class KafkaLink final : public Source, public Sink {
 public:
  // Waits for the cluster. Throws Error for options that cannot work and topics that do not fit.
  KafkaLink(const KafkaOptions& options, const Log& log);
  ~KafkaLink() override;  // leaves the group; calls no hook

  void set_partition_hooks(PartitionHooks hooks) override { hooks_ = std::move(hooks); }
  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;
  void write(const Result& result) override;
  void flush() override;  // throws Error when results could not be delivered; then no checkpoint may cover them
  void saved(const std::string& topic, int32_t partition, int64_t offset) override;

  int64_t lag() const { return lag_; }  // messages of this worker's partitions that it has not read yet [any thread]
  uint64_t deduplicated() const { return deduplicated_; }  // results that were there already [any thread]

 private:
  struct Handle;  // of librdkafka
  struct Partition {
    int64_t next = -1;                     // offset of the message that read() will give next
    int64_t committed = -1;                // offset that the group knows
    int64_t results_end = 0;               // offset after the last result in the result topic
    std::unordered_set<int64_t> answered;  // records whose results were found there and did not come by yet
  };

  static void set_consumer_callbacks(rd_kafka_conf_s* configuration);
  static void set_producer_callbacks(rd_kafka_conf_s* configuration);
  static void rebalance(rd_kafka_s* client, int error, rd_kafka_topic_partition_list_s* partitions, void* self);
  void assigned(rd_kafka_topic_partition_list_s* partitions);
  void revoked(const rd_kafka_topic_partition_list_s* partitions);
  int64_t results_end_at(int64_t offset, int32_t index) const;
  void find_answered(int32_t index, int64_t begin, Partition& partition);
  void delivered(const rd_kafka_message_s& result);
  void take(const rd_kafka_message_s& message, std::vector<Message>& messages);
  int partitions_of(const std::string& topic);
  void update_lag();
  void tell(LogLevel level, const std::string& message) const { log_.write(level, "kafka", message); }

  const KafkaOptions options_;
  const Log& log_;
  PartitionHooks hooks_;
  std::unique_ptr<Handle> consumer_, producer_;
  std::map<int32_t, Partition> partitions_;     // that this worker has
  std::vector<Message>* being_read_ = nullptr;  // inside read()
  std::exception_ptr thrown_;                   // by a hook, inside librdkafka's callback
  std::string undelivered_;                     // why, when a result could not be delivered
  std::atomic<int64_t> lag_{0};
  std::atomic<uint64_t> deduplicated_{0};
};

}  // namespace coil::sensor
