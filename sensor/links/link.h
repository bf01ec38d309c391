// Where records come from and results go to: a pipe, files, an MQTT broker, a Kafka cluster. The engine knows only
// this.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace coil::sensor {

struct Message {
  std::string topic;       // empty on a pipe
  std::string text;        // one record as it came, without the end of line
  int32_t partition = -1;  // of a partitioned source, else -1
  int64_t offset =
      -1;  // place in the partition; of a pipe or file the number of the line, from 1; -1: the source has none
  std::string sensor{};   // of a result: whose it is, for example site/pump; empty: it is no record's, as a CSV header
  std::string trouble{};  // not empty: why the text is left out
  int32_t file = 0;       // of a source of several files: from which one, each of which may have a head of its own
  bool begins_file = false;  // it is the first line of `file`
  bool is_known = false;  // an earlier run has seen it: it says what follows means, as a header does, and has no result
};

// What a partitioned source tells the engine. Called from inside Link::read, on its thread.
struct PartitionHooks {
  // The engine restores what it knows of the partition and returns the offset of the first message that it has not
  // seen; -1: from the beginning of what the consumer group has not committed.
  std::function<int64_t(const std::string& topic, int32_t partition)> assigned;
  // The engine writes a checkpoint that covers the partition and forgets its series. Results up to here were written
  // and flushed.
  std::function<void(const std::string& topic, int32_t partition)> revoked;
};

// One thread at a time. Every function may block and may throw Error with one clear line.
class Link {
 public:
  virtual ~Link() = default;

  // Appends what is there. Nothing there: waits up to `wait` for a first message (0: not at all). false: the source
  // ended, and nothing will come any more; what was appended still counts. An interrupted wait returns early with what
  // there is.
  virtual bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) = 0;

  // One result, in the order in which its message was read unless that was held back; topic, partition and offset are
  // those of that message.
  virtual void write(const Message& result) = 0;
  // Returns once everything written is out of this process, or in a bounded queue whose losses the link counts. Of a
  // source: what was read has been answered, and may be acknowledged.
  virtual void flush() = 0;

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
