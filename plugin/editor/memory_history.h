// The recent activity of the model's layers: energy and dt per layer, one record per tick.
#pragma once

#include <span>
#include <vector>

#include "ssm/run/stream.h"

namespace coil::plugin {

class MemoryHistory {
 public:
  static constexpr float kSeconds = 12,
                         kRangeDb = 48;  // what is shown: this far back in time, this far below the layer's maximum

  // Clears the history; `ticks_per_second` * kSeconds records fill it.
  void prepare(size_t layers, int ticks_per_second);
  // Adds a record. Returns whether the picture changes: false once the state has been constant for the whole history.
  bool add(std::span<const ssm::LayerActivity> layers);

  size_t layers() const { return layers_; }
  size_t length() const { return length_; }

  // 1: the layer's maximum energy since prepare(); 0: kRangeDb or more below it. `age` in records, 0 is the newest.
  float brightness(size_t layer, float age) const;
  // dt on a log scale from kLowDt to kHighDt: 0 holding, 1 taking in.
  float openness(size_t layer, float age) const;
  // The newest record, unchanged.
  ssm::LayerActivity latest(size_t layer) const;

  static constexpr float kLowDt = 1e-3f, kHighDt = 1.0f;

 private:
  struct Record {
    float energy_db = kSilentDb, openness = 0;
  };
  static constexpr float kSilentDb = -200;

  template <typename Member>
  float between(size_t layer, float age, Member member) const;
  const Record& at(size_t layer, size_t age) const;

  size_t layers_ = 0, length_ = 0, newest_ = 0, still_ = 0;
  std::vector<Record> records_;  // (length, layers), a ring buffer
  std::vector<float> loudest_db_;
  std::vector<ssm::LayerActivity> latest_;
};

}  // namespace coil::plugin
