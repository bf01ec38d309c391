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

// Reads until the source ends or `stop` returns true, and writes results. Checkpoints every `records` records or
// `interval` (0: off), and at the end. `stop` is called between reads, and may change the engine's settings. Throws
// Error. [main-thread]
void run(Engine& engine, Source& source, Sink& sink, const CheckpointPace& pace, const std::function<bool()>& stop);

}  // namespace coil::sensor
