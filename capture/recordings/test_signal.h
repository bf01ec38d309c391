// The sound to play through a device, of which a capture knows every frame.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace coil::capture {

// Where the parts of the test signal lie, in seconds from its start.
struct TestSignalMap {
  static constexpr double kPulses = 0.5, kPulseEvery = 0.1;  // ten clicks: latency and polarity, also for the eye
  static constexpr double kPassage = 1.6, kPassageSeconds = 5;
  static constexpr double kPassageAgain = 55.0;  // the same frames: how well the device repeats itself
  static constexpr double kBursts = 38.8, kBurstsEnd = 47.8;
  static constexpr double kSilence = 51.0, kSilenceSeconds = 4;
  static constexpr double kSeconds = 61.0;
};

// Mono, peak at -1 dBFS; the same frames at each call. Plucked strings, noise at many levels, sweeps, and steady sines
// and pairs of sines with an eye on high ones, of which a guitar says little and by which aliasing is judged.
std::vector<float> make_test_signal(double sample_rate_hz);

// The single steady sines of the test signal, in the order in which they are played.
struct TestBurst {
  double hz, db;             // db: among the bursts
  double begin_s, length_s;  // from the signal's start; the first and last 3 ms are faded
};
std::vector<TestBurst> test_signal_bursts();

// Where the test signal begins in a recording of it, also if it has been trimmed or padded.
struct FoundSignal {
  long start_frame = 0;    // may be negative
  double correlation = 0;  // 1: the signal itself
};
std::optional<FoundSignal> find_test_signal(std::span<const float> recording, double sample_rate_hz);

}  // namespace coil::capture
