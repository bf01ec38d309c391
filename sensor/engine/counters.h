// What an engine counts.
#pragma once

#include <atomic>
#include <cstdint>

namespace coil::sensor {

// Since the start. Read from any thread.
struct Counters {
  std::atomic<uint64_t> records{0};  // scored
  std::atomic<uint64_t> malformed{0};
  std::atomic<uint64_t> unscored{0};  // passed through without a score: no number, key or time in them
  std::atomic<uint64_t> late{0};      // older than what was scored already
  std::atomic<uint64_t> future{0};
  std::atomic<uint64_t> clock_jumps{0};   // times that the clock of late or future records was taken over
  std::atomic<uint64_t> duplicates{0};    // dropped
  std::atomic<uint64_t> skipped{0};       // seen before, by the offset in the state
  std::atomic<uint64_t> filled_steps{0};  // of gaps
  std::atomic<uint64_t> long_gaps{0};
  std::atomic<uint64_t> missing_values{0};
  std::atomic<uint64_t> anomalies{0};
  std::atomic<uint64_t> episodes{0};
  std::atomic<uint64_t> silences{0};  // that began
  std::atomic<uint64_t> sensors{0};   // known
  std::atomic<uint64_t> series{0};    // in memory
  std::atomic<uint64_t> evictions{0};
  std::atomic<uint64_t> returns{0};   // from disk
  std::atomic<uint64_t> restarts{0};  // of model states that left the finite numbers
  std::atomic<uint64_t> stretches{
      0};  // times that a model's state was read and written, for one step or for several that waited
  std::atomic<uint64_t> checkpoints{0};
};

}  // namespace coil::sensor
