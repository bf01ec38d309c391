// The counters of an engine.
#pragma once

#include <atomic>
#include <cstdint>

namespace coil::sensor {

// Since the start. Any thread may read them.
struct Counters {
  std::atomic<uint64_t> records{0};    // scored
  std::atomic<uint64_t> collected{0};  // became part of an interval's record
  std::atomic<uint64_t> malformed{0};
  std::atomic<uint64_t> unscored{0};  // passed through without a score, because they have no number, key or time
  std::atomic<uint64_t> late{0};      // older than records that were already scored
  std::atomic<uint64_t> future{0};
  std::atomic<uint64_t> clock_jumps{0};   // how often the clock of late or future records was accepted
  std::atomic<uint64_t> duplicates{0};    // dropped
  std::atomic<uint64_t> skipped{0};       // already processed, by the offset in the state
  std::atomic<uint64_t> filled_steps{0};  // of gaps
  std::atomic<uint64_t> long_gaps{0};
  std::atomic<uint64_t> missing_values{0};
  std::atomic<uint64_t> anomalies{0};
  std::atomic<uint64_t> episodes{0};
  std::atomic<uint64_t> silences{0};  // that began
  std::atomic<uint64_t> sensors{0};   // known
  std::atomic<uint64_t> series{0};    // in memory
  std::atomic<uint64_t> evictions{0};
  std::atomic<uint64_t> returns{0};    // from disk
  std::atomic<uint64_t> restarts{0};   // of model states that became non-finite
  std::atomic<uint64_t> stretches{0};  // reads and writes of model states; one may serve several waiting steps
  std::atomic<uint64_t> checkpoints{0};
};

}  // namespace coil::sensor
