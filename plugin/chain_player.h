// Makes the rack play the store's cabinet and list of stages.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "plugin/store.h"

namespace coil::plugin {

class ChainPlayer {
 public:
  explicit ChainPlayer(Store& store) : store_(store) {}

  // Makes what has changed, on one thread at a time. It takes the latest content, so of several changes in between only
  // the last one is made. Not on the message thread, without the store's mutex.
  void follow();
  double tail_seconds() const;  // how long cabinet and further stages sound after their input [any thread]

 private:
  Store& store_;
  std::mutex making_;  // guards the two below
  uint64_t played_cabinet_ = 0, played_stages_ = 0;
  std::atomic<double> cabinet_seconds_{0}, further_seconds_{0};
};

}  // namespace coil::plugin
