// What the model's layers held of late: energy and dt per layer, one record a tick.
#pragma once

#include <span>
#include <vector>

#include "ssm/run/stream.h"

namespace coil::plugin {

class MemoryHistory {
 public:
  static constexpr float kSeconds = 12,
                         kRangeDb = 48;  // what is shown: this far back, this far below the layer's loudest

  // Forgets everything; `ticks_per_second` records make up kSeconds.
  void prepare(size_t layers, int ticks_per_second);
  // Adds a record. Returns whether anything to see changed: false once a still state has been still for the whole
  // history.
  bool add(std::span<const ssm::LayerActivity> layers);

  size_t layers() const { return layers_; }
  size_t length() const { return length_; }

  // 0: kRangeDb below the loudest that this layer held since prepare(), or less; 1: the loudest. `age` in records, 0
  // the newest.
  float brightness(size_t layer, float age) const;
  // Where dt lies on a log scale from kLowDt to kHighDt: 0 holding, 1 taking in.
  float openness(size_t layer, float age) const;
  // The newest record as it came.
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
  std::vector<Record> records_;  // (length, layers), a ring
  std::vector<float> loudest_db_;
  std::vector<ssm::LayerActivity> latest_;
};

}  // namespace coil::plugin
