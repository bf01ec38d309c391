// A host's audio thread: gives a processor block after block at the pace of the sample rate, and times each.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/log_histogram.h"
#include "dsp/processor.h"

namespace coil::cli {

// Below this period the thread waits busily: to sleep and to wake up again would take too much of it.
inline constexpr double kShortestSleepNs = 200e3;

struct HostSettings {
  double sample_rate_hz = 0;
  int block_frames = 0;
  double seconds = 0;  // measured, after half a second that is not
  const std::vector<std::vector<float>>*
      input;  // a signal for each channel, all equally long, at least a block; repeated
};

struct HostRun {
  LogHistogram block_ns;        // what process() took
  uint64_t largest_own_ns = 0;  // of the blocks that were not preempted
  uint64_t preempted = 0;       // blocks whose core was given to others, by the system's accounts
  uint64_t missed = 0;          // blocks that took longer than they last
  uint64_t late_wakeups = 0;    // times that the thread woke when the next block was due already
};

// Prepares the processor and runs it on a thread of its own until the time is over or interrupted(). Whoever is late by
// more than a block, the thread or the processor, goes on from there, as a host drops blocks. Throws what prepare()
// throws. [main-thread]
void run_host(dsp::AudioProcessor& processor, const HostSettings& settings, HostRun& run);

// What the system permits to such a thread, and how often it stops one that does nothing but look at the clock.
struct HostThread {
  bool is_real_time = false;  // SCHED_FIFO
  bool is_memory_locked = false;
  double stalls_per_s = 0;  // of 10 us and more
  double largest_stall_us = 0;
};

// Takes half a second. [main-thread]
HostThread try_host_thread();

}  // namespace coil::cli
