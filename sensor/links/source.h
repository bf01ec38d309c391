// The interface for the sources of records: a pipe, files, an MQTT broker, a Kafka cluster.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sensor/records/message.h"

namespace coil::sensor {

// How a partitioned source informs the engine. Called inside Source::read, on its thread.
struct PartitionHooks {
  // The engine restores its state of the partition, and returns the offset of the first message that it has not
  // processed; -1: continue after the consumer group's committed offset.
  std::function<int64_t(const std::string& topic, int32_t partition)> assigned;
  // The engine writes a checkpoint that covers the partition, and drops its series. All results so far were written and
  // flushed.
  std::function<void(const std::string& topic, int32_t partition)> revoked;
};

// One thread at a time. Every function may block and may throw Error with one clear line.
class Source {
 public:
  virtual ~Source() = default;

  // Appends available messages. If there are none, waits up to `wait` for the first one (0: not at all). Returns false
  // if the source has ended; messages that were appended still count. An interrupted wait returns early.
  virtual bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) = 0;

  // Whether records are read as they are produced, so that a record that does not arrive is really missing.
  virtual bool is_live() const { return true; }

  // Call when the results of everything read are with the sink, so that it may be acknowledged.
  virtual void answered() {}

  // Call when a checkpoint that covers everything up to these messages is safely on disk; a source with positions may
  // then commit them. `offset`: of the first message not covered. Sources without positions ignore it.
  virtual void saved(const std::string& /*topic*/, int32_t /*partition*/, int64_t /*offset*/) {}

  // For a source that can be read again from any position: the position after the first `messages` messages of the last
  // read. Empty: it has no positions.
  virtual std::string place_after(size_t /*messages*/) const { return {}; }
  // Call before the first read: continues at a position. Throws Error if the position belongs to another source.
  virtual void go_on(const std::string& /*place*/) {}

  // Where a message came from, for people.
  virtual std::string describe(const Message& message) const {
    const std::string offset = std::to_string(message.offset);
    if (message.partition >= 0) return message.topic + "[" + std::to_string(message.partition) + "] offset " + offset;
    return message.offset >= 0 ? "line " + offset : "topic " + message.topic;
  }

  // Call before the first read. A source without partitions never calls the hooks.
  virtual void set_partition_hooks(PartitionHooks /*hooks*/) {}
};

}  // namespace coil::sensor
