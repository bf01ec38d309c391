// The ring of records, and its scales.
#include "plugin/editor/memory_history.h"

#include <algorithm>
#include <cmath>

namespace coil::plugin {

void MemoryHistory::prepare(size_t layers, int ticks_per_second) {
  layers_ = layers;
  length_ = static_cast<size_t>(kSeconds * static_cast<float>(ticks_per_second));
  newest_ = 0;
  still_ = length_;
  records_.assign(length_ * layers, {});
  loudest_db_.assign(layers, kSilentDb);
  latest_.assign(layers, {});
}

bool MemoryHistory::add(std::span<const ssm::LayerActivity> layers) {
  constexpr float kVisibleDb = 0.25f, kVisibleOpenness = 0.004f;
  bool still = true;
  const size_t next = (newest_ + 1) % length_;
  for (size_t i = 0; i < layers_; ++i) {
    const Record& before = records_[newest_ * layers_ + i];
    Record record;
    record.energy_db = std::max(kSilentDb, 10 * std::log10(layers[i].energy + 1e-20f));
    record.openness =
        std::clamp(std::log(std::max(layers[i].dt, kLowDt) / kLowDt) / std::log(kHighDt / kLowDt), 0.0f, 1.0f);
    loudest_db_[i] = std::max(loudest_db_[i], record.energy_db);
    latest_[i] = layers[i];
    still &= std::abs(record.energy_db - before.energy_db) < kVisibleDb &&
             std::abs(record.openness - before.openness) < kVisibleOpenness;
    records_[next * layers_ + i] = record;
  }
  newest_ = next;
  still_ = still ? std::min(still_ + 1, length_ + 1) : 0;
  return layers_ > 0 && still_ <= length_;
}

const MemoryHistory::Record& MemoryHistory::at(size_t layer, size_t age) const {
  return records_[(newest_ + length_ - std::min(age, length_ - 1)) % length_ * layers_ + layer];
}

template <typename Member>
float MemoryHistory::between(size_t layer, float age, Member member) const {
  const auto low = static_cast<size_t>(age);
  const float part = age - static_cast<float>(low);
  return at(layer, low).*member * (1 - part) + at(layer, low + 1).*member * part;
}

float MemoryHistory::brightness(size_t layer, float age) const {
  // A state that was always zero stays dark.
  if (loudest_db_[layer] <= kSilentDb + kRangeDb) return 0;
  return std::clamp(1 + (between(layer, age, &Record::energy_db) - loudest_db_[layer]) / kRangeDb, 0.0f, 1.0f);
}

float MemoryHistory::openness(size_t layer, float age) const { return between(layer, age, &Record::openness); }

ssm::LayerActivity MemoryHistory::latest(size_t layer) const { return latest_[layer]; }

}  // namespace coil::plugin
