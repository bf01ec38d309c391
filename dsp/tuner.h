// The pitch of a string, from a short piece of its sound.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace coil::dsp {

struct Pitch {
  double hz = 0;       // 0: no pitch is heard
  double clarity = 0;  // 0 to 1: how well the sound repeats itself
};

// A note of equal temperament, and how far a pitch lies from it.
struct TunedNote {
  int midi_note = 0;  // 69: A4
  double cents = 0;   // -50 to 50; above 0: too high
};
TunedNote note_of(double hz, double a4_hz = 440);

// From 20 to 2,000 Hz: finds the lag at which the sound is most like itself, first coarsely, then over as many periods
// as the piece holds. The likeness is a correlation divided by the energies of both sides, whose maximum a decay does
// not move. Sources: McLeod & Wyvill 2005, "A smarter way to find pitch"; de Cheveigne & Kawahara 2002, "YIN".
// One thread at a time, not the audio thread.
class Tuner {
 public:
  static constexpr double kLowestHz = 20, kHighestHz = 2000, kPieceSeconds = 0.15;
  static constexpr float kSilentDb = -65;  // what is softer has no pitch

  explicit Tuner(double sample_rate_hz);

  size_t piece_frames() const { return piece_frames_; }
  // Of the last piece_frames() of the sound, or of all where it is shorter.
  Pitch find(std::span<const float> sound);

 private:
  double coarse_lag();
  double fine_lag(double coarse_frames) const;

  double sample_rate_hz_;
  size_t piece_frames_;
  size_t factor_;                     // the coarse search's rate is so much lower
  std::vector<double> low_pass_;      // its filter's taps
  std::vector<double> piece_, thin_;  // without its mean; and at the coarse rate
  std::vector<double> likeness_;      // by lag
};

}  // namespace coil::dsp
