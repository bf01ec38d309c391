// Estimates the pitch of a string from a short piece of its sound.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace coil::dsp {

struct Pitch {
  double hz = 0;       // 0: no pitch was found
  double clarity = 0;  // 0 to 1: how periodic the sound is
};

// A note of equal temperament, and how far a pitch lies from it.
struct TunedNote {
  int midi_note = 0;  // 69: A4
  double cents = 0;   // -50 to 50; positive: too high
};
TunedNote note_of(double hz, double a4_hz = 440);

// Pitch from 20 to 2,000 Hz. Finds the lag at which the sound is most similar to itself, first coarsely, then over as
// many periods as the piece holds. The similarity is the correlation divided by the energies of both parts, so that a
// decay does not move its maximum. Sources: McLeod & Wyvill 2005, "A smarter way to find pitch"; de Cheveigne &
// Kawahara 2002, "YIN". One thread at a time, not the audio thread.
class Tuner {
 public:
  static constexpr double kLowestHz = 20, kHighestHz = 2000, kPieceSeconds = 0.15;
  static constexpr float kSilentDb = -65;  // softer sounds have no pitch

  explicit Tuner(double sample_rate_hz);

  size_t piece_frames() const { return piece_frames_; }
  // Uses the last piece_frames() of the sound, or all of it if it is shorter.
  Pitch find(std::span<const float> sound);

 private:
  double coarse_lag();
  double fine_lag(double coarse_frames) const;

  double sample_rate_hz_;
  size_t piece_frames_;
  size_t factor_;                     // by which the rate of the coarse search is lower
  std::vector<double> low_pass_;      // the filter's taps
  std::vector<double> piece_, thin_;  // the piece without its mean, and the same at the coarse rate
  std::vector<double> likeness_;      // by lag
};

}  // namespace coil::dsp
