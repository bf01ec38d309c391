// The test signal to play through a device. A capture knows each of its frames.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace coil::capture {

// Positions of the parts of the test signal, in seconds from its start.
struct TestSignalMap {
  static constexpr double kPulses = 0.5, kPulseEvery = 0.1;  // ten clicks, for latency and polarity, also by eye
  static constexpr double kPassage = 1.6, kPassageSeconds = 5;
  static constexpr double kPassageAgain = 55.0;  // the same frames again: shows how well the device repeats itself
  static constexpr double kBursts = 38.8, kBurstsEnd = 47.8;
  static constexpr double kSilence = 51.0, kSilenceSeconds = 4;
  static constexpr double kSeconds = 61.0;
};

// Mono, peak at -1 dBFS; every call returns the same frames. Plucked strings, noise at many levels, sweeps, steady
// sines and pairs of sines. Many sines are high, because a guitar contains little there, and they show aliasing.
std::vector<float> make_test_signal(double sample_rate_hz);

// More phrases like those of the signal, each at its own level over 30 dB, with pauses. For devices that are not
// recorded but computed: nobody has to wait for a longer signal.
std::vector<float> make_playing(double sample_rate_hz, double seconds);

// The single steady sines of the test signal, in order.
struct TestBurst {
  double hz, db;             // db: relative to the other bursts
  double begin_s, length_s;  // from the signal's start; the first and last 3 ms are faded
};
std::vector<TestBurst> test_signal_bursts();

// Where the test signal starts in a recording, even if the recording was trimmed or padded.
struct FoundSignal {
  long start_frame = 0;    // may be negative
  double correlation = 0;  // 1: identical
};
std::optional<FoundSignal> find_test_signal(std::span<const float> recording, double sample_rate_hz);

}  // namespace coil::capture
