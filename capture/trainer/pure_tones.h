// Steady sines that need no recording: whatever comes out beside their harmonics has folded back at half the sample
// rate.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "capture/trainer/random.h"

namespace coil::capture {

// What a lane plays: an odd number of periods in every segment, so that each segment is like the one before, and so
// that nothing that folds back falls on a harmonic.
struct PureTone {
  size_t take = 0;  // whose knobs are set
  size_t periods = 1;
  float level = 0;
  size_t unscored = 0;  // segments until the network is steady
  size_t left = 0;      // segments to play, this one among them
  double weight = 0;    // 1 at 5 kHz
};

// `peak`: of the loudest tone.
PureTone draw_pure_tone(Random& random, size_t takes, float peak, size_t segment_frames, double sample_rate_hz);

float tone_sample(const PureTone& tone, size_t frame, size_t segment_frames);

struct ToneEnergy {
  double off_harmonics = 0, all = 0;
};

// Takes a steady output apart. One thread at a time.
class ToneSplitter {
 public:
  explicit ToneSplitter(size_t segment_frames);
  ToneSplitter(ToneSplitter&&) noexcept;
  ~ToneSplitter();

  // Leaves of a segment's output what is off the harmonics. That is an orthogonal projection, so it is also the
  // gradient of half its energy.
  ToneEnergy leave_off_harmonics(std::span<float> output, size_t periods);

 private:
  struct Fft;
  std::unique_ptr<Fft> fft_;
};

}  // namespace coil::capture
