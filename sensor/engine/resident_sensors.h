// Keeps track of which sensors are in memory and which on disk, and of their series' slots in the StreamBatch.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sensor/engine/counters.h"
#include "sensor/engine/sensor.h"
#include "sensor/state/state_file.h"
#include "ssm/run/stream_batch.h"

namespace coil::sensor {

// One thread at a time.
class ResidentSensors {
 public:
  // `outputs`: the model's outputs to compute. `window`: of the normalisers. `most_series`: limit in memory; 0: no
  // limit.
  ResidentSensors(std::shared_ptr<const ssm::Model> model, std::vector<uint32_t> outputs, int window,
                  size_t most_series, Counters& counters);
  ~ResidentSensors();

  // Returns the sensor; it stays in memory until evict(). `file`: where a new sensor will be stored. Throws Error if it
  // cannot be read back.
  Sensor& get(const std::string& key, StateFile* file);
  bool knows(const std::string& key) const { return entries_.contains(key); }
  // The group of several sensors that this sensor belongs to (Schema::group_of).
  Group& group(const std::string& group_key, StateFile* file);
  // The series of this field; created if necessary.
  Series& series(Sensor& sensor, std::string_view field);
  // Moves sensors that were idle longest to disk, until the limit is met. Throws Error.
  void evict();
  // Calls visit(sensor) for each sensor; loads all of them into memory.
  template <class Visit>
  void for_each(Visit visit) {
    for (auto& [key, file] : files()) visit(get(key, file));
  }

  // Adds a sensor that is stored in `file`.
  void add_stored(const std::string& key, StateFile& file, const Piece& piece);
  // Writes the sensors that changed since the last save, and returns the pieces of all sensors of `file`. Throws Error.
  void save(StateFile& file, std::map<std::string, Piece>& pieces);
  // Removes the sensors of `file`.
  void drop(const StateFile& file);

  size_t count() const { return entries_.size() - groups_; }
  size_t resident_series() const { return resident_series_; }
  ssm::StreamBatch& batch() { return batch_; }
  const ssm::StreamBatch& batch() const { return batch_; }

 private:
  struct Entry;
  using Entries = std::unordered_map<std::string, Entry>;
  using ByAge = std::list<Entries::value_type*>;
  struct Entry {
    StateFile* file = nullptr;
    std::unique_ptr<Sensor> sensor;  // null: only on disk
    Piece stored;                    // its unchanged copy on disk; no bytes: none
    ByAge::iterator age;
  };

  std::vector<std::pair<std::string, StateFile*>> files() const;
  uint32_t take_slot();
  Bytes pack(const Sensor& sensor);
  std::unique_ptr<Sensor> unpack(const Bytes& bytes);
  void discard(Entry& entry);

  int window_;
  size_t most_series_;
  Counters& counters_;
  ssm::StreamBatch batch_;
  ssm::State scratch_;
  std::vector<uint32_t> free_slots_;
  Entries entries_;
  ByAge by_age_;  // those in memory, longest idle first
  size_t resident_series_ = 0, groups_ = 0;
};

}  // namespace coil::sensor
