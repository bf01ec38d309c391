// Where records come from: a pipe, files, an MQTT broker, a Kafka cluster.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sensor/records/message.h"

namespace coil::sensor {

// What a partitioned source tells the engine. Called from inside Source::read, on its thread.
struct PartitionHooks {
  // The engine restores what it knows of the partition and returns the offset of the first message that it has not
  // seen; -1: from the beginning of what the consumer group has not committed.
  std::function<int64_t(const std::string& topic, int32_t partition)> assigned;
  // The engine writes a checkpoint that covers the partition and forgets its series. Results up to here were written
  // and flushed.
  std::function<void(const std::string& topic, int32_t partition)> revoked;
};

// One thread at a time. Every function may block and may throw Error with one clear line.
class Source {
 public:
  virtual ~Source() = default;

  // Appends what is there. Nothing there: waits up to `wait` for a first message (0: not at all). false: the source
  // ended, and nothing will come any more; what was appended still counts. An interrupted wait returns early with what
  // there is.
  virtual bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) = 0;

  // Whether it is read while records come into being, so that what does not come now is missing.
  virtual bool is_live() const { return true; }

  // The results of all that was read are with the sink: it may be acknowledged.
  virtual void answered() {}

  // A checkpoint that holds everything up to these messages is safely on disk: a source that keeps places may commit
  // them. `offset` is that of the first message not covered. Pipes and brokers without places ignore it.
  virtual void saved(const std::string& /*topic*/, int32_t /*partition*/, int64_t /*offset*/) {}

  // Of a source that can be read again from any place: where the first `messages` of the last read end. Empty: it has
  // no places.
  virtual std::string place_after(size_t /*messages*/) const { return {}; }
  // Before the first read: goes on at a place. Throws Error when the source is not the one that the place is of.
  virtual void go_on(const std::string& /*place*/) {}

  // Where a message came from, for people.
  virtual std::string describe(const Message& message) const {
    const std::string offset = std::to_string(message.offset);
    if (message.partition >= 0) return message.topic + "[" + std::to_string(message.partition) + "] offset " + offset;
    return message.offset >= 0 ? "line " + offset : "topic " + message.topic;
  }

  // Before the first read; a source without partitions never calls them.
  virtual void set_partition_hooks(PartitionHooks /*hooks*/) {}
};

}  // namespace coil::sensor
