// Drives an engine from a source to a sink, with checkpoints.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "sensor/engine.h"
#include "sensor/links/sink.h"
#include "sensor/links/source.h"

namespace coil::sensor {

struct CheckpointPace {
  uint64_t records = 0;
  std::chrono::milliseconds interval{0};
};

// Reads until the source ends or `stop` says so, writes results, and checkpoints every `records` records or `interval`
// (0: neither counts), and at the end. `stop` is asked between reads, and may give the engine other settings. Throws
// Error. [main-thread]
void run(Engine& engine, Source& source, Sink& sink, const CheckpointPace& pace, const std::function<bool()>& stop);

}  // namespace coil::sensor
