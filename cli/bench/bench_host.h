// Imitates a host's audio thread: calls a processor block by block in real time, and times each block.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/log_histogram.h"
#include "dsp/processor.h"

namespace coil::cli {

// For a shorter period the thread polls, because sleeping and waking up would take too much of it.
inline constexpr double kShortestSleepNs = 200e3;

struct HostSettings {
  double sample_rate_hz = 0;
  int block_frames = 0;
  double seconds = 0;  // measured, after half a second of warm-up
  const std::vector<std::vector<float>>*
      input;  // one signal per channel, all of equal length, at least a block; repeated
};

struct HostRun {
  LogHistogram block_ns;        // duration of process()
  uint64_t largest_own_ns = 0;  // of blocks that were not preempted
  uint64_t preempted = 0;       // blocks that were preempted, by the system's statistics
  uint64_t missed = 0;          // blocks that took longer than their duration
  uint64_t late_wakeups = 0;    // how often the thread woke up after the next block was due
};

// Prepares the processor and runs it on its own thread until the time is over or interrupted(). If thread or processor
// is late by more than a block, it continues from there, as a host drops blocks. Throws what prepare() throws.
// [main-thread]
void run_host(dsp::AudioProcessor& processor, const HostSettings& settings, HostRun& run);

// What the system allows such a thread, and how often it stops one that only reads the clock.
struct HostThread {
  bool is_real_time = false;  // SCHED_FIFO
  bool is_memory_locked = false;
  double stalls_per_s = 0;  // of 10 us and more
  double largest_stall_us = 0;
};

// Takes half a second. [main-thread]
HostThread try_host_thread();

}  // namespace coil::cli
