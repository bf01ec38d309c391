// Training on steady sines, which needs no recording: output off their harmonics is aliasing.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "capture/trainer/random.h"

namespace coil::capture {

// The tone of a lane. Every segment has an odd number of periods: then all segments are alike, and no alias falls on a
// harmonic.
struct PureTone {
  size_t take = 0;  // the take whose knob settings are used
  size_t periods = 1;
  float level = 0;
  size_t unscored = 0;  // segments until the network has settled
  size_t left = 0;      // segments left to play, including this one
  double weight = 0;    // 1 at 5 kHz
};

// `peak`: peak of the loudest tone.
PureTone draw_pure_tone(Random& random, size_t takes, float peak, size_t segment_frames, double sample_rate_hz);

float tone_sample(const PureTone& tone, size_t frame, size_t segment_frames);

struct ToneEnergy {
  double off_harmonics = 0, all = 0;
};

// Separates harmonics and aliases of a steady output. One thread at a time.
class ToneSplitter {
 public:
  explicit ToneSplitter(size_t segment_frames);
  ToneSplitter(ToneSplitter&&) noexcept;
  ToneSplitter& operator=(ToneSplitter&&) noexcept;
  ~ToneSplitter();

  // Replaces a segment's output by its part off the harmonics. This is an orthogonal projection, so the result is also
  // the gradient of half its energy.
  ToneEnergy leave_off_harmonics(std::span<float> output, size_t periods);

 private:
  struct Fft;
  std::unique_ptr<Fft> fft_;
};

}  // namespace coil::capture
