// Converts sensors to bytes and back, and moves those that were idle longest to disk.
#include "sensor/engine/resident_sensors.h"

#include <algorithm>

#include "sensor/formats/schema.h"
#include "sensor/state/bytes.h"

namespace coil::sensor {
namespace {

constexpr size_t kFirstSlots = 16;
constexpr size_t kGrowth = 32 << 20;  // bytes of states that are allocated at once

}  // namespace

ResidentSensors::ResidentSensors(std::shared_ptr<const ssm::Model> model, std::vector<uint32_t> outputs, int window,
                                 size_t most_series, Counters& counters)
    : window_(window),
      most_series_(most_series),
      counters_(counters),
      batch_(model, kFirstSlots, std::move(outputs)),
      scratch_(model->initial_state()) {
  for (size_t slot = kFirstSlots; slot-- > 0;) free_slots_.push_back(static_cast<uint32_t>(slot));
}
ResidentSensors::~ResidentSensors() = default;

uint32_t ResidentSensors::take_slot() {
  if (free_slots_.empty()) {
    const size_t size = batch_.size(), more = std::clamp<size_t>(kGrowth / batch_.bytes_per_stream(), 1, size);
    batch_.add(more);
    for (size_t slot = size + more; slot-- > size;) free_slots_.push_back(static_cast<uint32_t>(slot));
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  ++resident_series_;
  return slot;
}

Sensor& ResidentSensors::get(const std::string& key, StateFile* file) {
  const auto [it, is_new] = entries_.try_emplace(key);
  Entry& entry = it->second;
  if (entry.sensor) {
    if (most_series_ > 0) by_age_.splice(by_age_.end(), by_age_, entry.age);
  } else {
    entry.file = file;
    if (is_new) {
      groups_ += Schema::is_group(key);
      entry.sensor = std::make_unique<Sensor>();
    } else {
      entry.sensor = unpack(entry.file->read(entry.stored));
      ++counters_.returns;
    }
    entry.sensor->file = entry.file;
    entry.age = by_age_.insert(by_age_.end(), &*it);
  }
  if (entry.stored.bytes > 0) {  // it will change now
    entry.file->release(entry.stored);
    entry.stored = {};
  }
  return *entry.sensor;
}

// It is kept among the sensors, so that it is stored and moved like them.
Group& ResidentSensors::group(const std::string& group_key, StateFile* file) {
  Sensor& sensor = get(group_key, file);
  if (!sensor.group) sensor.group = std::make_unique<Group>();
  return *sensor.group;
}

Series& ResidentSensors::series(Sensor& sensor, std::string_view field) {
  for (const auto& series : sensor.series) {
    if (series->name == field) return *series;
  }
  Series& series = *sensor.series.emplace_back(std::make_unique<Series>(std::string(field), window_));
  series.slot = take_slot();
  batch_.reset(series.slot);
  return series;
}

std::vector<std::pair<std::string, StateFile*>> ResidentSensors::files() const {
  std::vector<std::pair<std::string, StateFile*>> files;
  for (const auto& [key, entry] : entries_) files.emplace_back(key, entry.file);
  return files;
}

Bytes ResidentSensors::pack(const Sensor& sensor) {
  Bytes bytes;
  ByteWriter writer(bytes);
  writer.object(sensor.memory);
  writer.value(static_cast<uint64_t>(sensor.series.size()));
  for (const auto& series : sensor.series) {
    writer.text(series->name);
    writer.object(series->memory);
    batch_.copy_state(series->slot, scratch_);
    writer.raw(scratch_.data(), scratch_.bytes());
  }
  writer.value(static_cast<uint64_t>(sensor.text_fields.size()));
  writer.raw(sensor.text_fields.data(), sensor.text_fields.size() * sizeof(uint32_t));
  writer.value(static_cast<uint64_t>(sensor.held.size()));
  for (const Held& held : sensor.held) {
    writer.value(held.time_ns);
    writer.text(held.message.topic);
    writer.text(held.message.text);
    writer.value(held.message.partition);
    writer.value(held.message.offset);
  }
  writer.object(sensor.rhythm);
  for (const auto& series : sensor.series) writer.object(series->calendar);
  writer.value(sensor.interval != nullptr);
  if (sensor.interval) sensor.interval->write(writer);
  writer.value(sensor.group != nullptr);
  if (sensor.group) sensor.group->write(writer);
  for (const auto& series : sensor.series) writer.object(series->after_gap);
  for (const auto& series : sensor.series) {
    writer.object(series->bounds);
    series->ahead.write(writer);
  }
  for (const auto& series : sensor.series) series->ahead.write_season(writer);
  return bytes;
}

std::unique_ptr<Sensor> ResidentSensors::unpack(const Bytes& bytes) {
  ByteReader reader(bytes);
  auto sensor = std::make_unique<Sensor>();
  reader.object(sensor->memory);
  for (auto count = reader.value<uint64_t>(); count > 0; --count) {
    Series& series = *sensor->series.emplace_back(std::make_unique<Series>(reader.text(), window_));
    reader.object(series.memory);
    reader.raw(scratch_.data(), scratch_.bytes());
    const ssm::State state = scratch_;
    series.slot = take_slot();
    batch_.set_state(series.slot, state);
  }
  for (auto count = reader.value<uint64_t>(); count > 0; --count)
    sensor->text_fields.push_back(reader.value<uint32_t>());
  for (auto count = reader.value<uint64_t>(); count > 0; --count) {
    Held& held = sensor->held.emplace_back();
    held.time_ns = reader.value<int64_t>();
    held.message.topic = reader.text();
    held.message.text = reader.text();
    held.message.partition = reader.value<int32_t>();
    held.message.offset = reader.value<int64_t>();
  }
  if (!reader.at_end()) reader.object(sensor->rhythm);  // else it was written before there was one
  for (const auto& series : sensor->series) {
    if (!reader.at_end()) reader.object(series->calendar);
  }
  if (!reader.at_end() && reader.value<bool>()) {
    sensor->interval = std::make_unique<Interval>();
    sensor->interval->read(reader);
  }
  if (!reader.at_end() && reader.value<bool>()) {
    sensor->group = std::make_unique<Group>();
    sensor->group->read(reader);
  }
  for (const auto& series : sensor->series) {
    if (!reader.at_end()) reader.object(series->after_gap);
  }
  for (const auto& series : sensor->series) {
    if (reader.at_end()) break;
    reader.object(series->bounds);
    series->ahead.read(reader);
  }
  for (const auto& series : sensor->series) {
    if (!reader.at_end()) series->ahead.read_season(reader);
  }
  return sensor;
}

void ResidentSensors::discard(Entry& entry) {
  for (const auto& series : entry.sensor->series) free_slots_.push_back(series->slot);
  resident_series_ -= entry.sensor->series.size();
  by_age_.erase(entry.age);
  entry.sensor.reset();
}

void ResidentSensors::evict() {
  while (most_series_ > 0 && resident_series_ > most_series_ && by_age_.size() > 1) {
    Entry& oldest = by_age_.front()->second;
    if (oldest.stored.bytes == 0) oldest.stored = oldest.file->write(pack(*oldest.sensor));
    discard(oldest);
    ++counters_.evictions;
  }
}

void ResidentSensors::add_stored(const std::string& key, StateFile& file, const Piece& piece) {
  Entry& entry = entries_[key];
  groups_ += Schema::is_group(key);
  entry.file = &file;
  entry.stored = piece;
}

void ResidentSensors::save(StateFile& file, std::map<std::string, Piece>& pieces) {
  for (auto& [key, entry] : entries_) {
    if (entry.file != &file) continue;
    if (entry.stored.bytes == 0) entry.stored = file.write(pack(*entry.sensor));
    pieces[key] = entry.stored;
  }
}

void ResidentSensors::drop(const StateFile& file) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    if (it->second.file == &file) {
      groups_ -= Schema::is_group(it->first);
      if (it->second.sensor) discard(it->second);
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace coil::sensor
