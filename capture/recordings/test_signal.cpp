// Made from a fixed seed with portable arithmetic, so that the sound is the same on every machine.
#include "capture/recordings/test_signal.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstdint>
#include <numbers>

#include "capture/recordings/spectrum.h"

namespace coil::capture {
namespace {

using Map = TestSignalMap;

constexpr double kTau = 2 * std::numbers::pi;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  double uniform() {  // 0 to 1; constants of Knuth's MMIX generator
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return double(state_ >> 11) / 9007199254740992.0;
  }
  double between(double low, double high) { return low + (high - low) * uniform(); }
  double noise() { return uniform() + uniform() + uniform() + uniform() - 2; }

 private:
  uint64_t state_;
};

double gain_of(double db) { return std::pow(10.0, db / 20); }

// Writes parts one after another, each faded over 3 ms at both ends.
class Tape {
 public:
  Tape(double rate, double seconds) : rate_(rate), samples_(static_cast<size_t>(seconds * rate)) {}

  template <typename Sound>  // Sound: seconds into the part -> sample
  void add(double at, double seconds, double gain, Sound sound) {
    const auto first = static_cast<size_t>(at * rate_), count = static_cast<size_t>(seconds * rate_);
    for (size_t i = 0; i < count && first + i < samples_.size(); ++i) {
      const double t = double(i) / rate_, edge = std::min(t, seconds - t);
      samples_[first + i] += static_cast<float>(gain * std::clamp(edge / 0.003, 0.0, 1.0) * sound(t));
    }
  }
  std::vector<float>& samples() { return samples_; }
  double rate() const { return rate_; }

 private:
  double rate_;
  std::vector<float> samples_;
};

// A string: a sum of slightly stretched partials that decay, the high ones faster.
void pluck(Tape& tape, double at, double seconds, double hz, double gain, Random& random) {
  const double bright = random.between(0.6, 1.6), position = random.between(0.08, 0.4);
  for (int k = 1; k <= 24; ++k) {
    const double partial = k * hz * std::sqrt(1 + 1e-4 * k * k);
    if (partial > 0.45 * tape.rate() || partial > 12000) break;
    const double size = std::sin(kTau / 2 * k * position) / std::pow(k, bright),
                 decay = 1.2 + 0.25 * k + partial / 2500;
    const double phase = random.between(0, kTau);
    std::complex<double> turning = std::polar(1.0, phase);
    const std::complex<double> step = std::polar(std::exp(-decay / tape.rate()), kTau * partial / tape.rate());
    tape.add(at, seconds, gain * size, [&](double) {
      const double sample = turning.imag();
      turning *= step;
      return sample;
    });
  }
}

// A phrase of chords, single notes and scratches at the level `db`.
void phrase(Tape& tape, double at, double seconds, double db, uint64_t seed) {
  Random random(seed);
  static constexpr std::array kNotes = {82.41,  98.0,  110.0, 146.83, 164.81, 196.0, 246.94,
                                        329.63, 392.0, 440.0, 587.33, 659.26, 987.77};
  double t = 0;
  while (t < seconds - 0.3) {
    const int notes = random.uniform() < 0.35 ? 4 : 1;
    const double length = std::min(random.between(0.12, 0.9), seconds - t),
                 loud = gain_of(db + random.between(-10, 0)) / std::sqrt(notes);
    for (int n = 0; n < notes; ++n) {
      pluck(tape, at + t + 0.012 * n, length, kNotes[static_cast<size_t>(random.uniform() * kNotes.size())], loud,
            random);
    }
    tape.add(at + t, 0.012, 0.5 * loud, [&](double) { return random.noise(); });
    t += length;
  }
}

// To a peak of -1 dBFS.
void scale_to_full(std::vector<float>& sound) {
  float peak = 0;
  for (const float sample : sound) peak = std::max(peak, std::abs(sample));
  const auto full = static_cast<float>(gain_of(-1)) / peak;
  for (float& sample : sound) sample *= full;
}

void play_passage(Tape& tape, double at) { phrase(tape, at, Map::kPassageSeconds, -3, 1); }

constexpr std::array kBurstHz = {100.0,  200.0,  400.0,  800.0,  1200.0,  1700.0,
                                 2500.0, 3500.0, 5000.0, 7000.0, 10000.0, 14000.0};
constexpr std::array kBurstDb = {-6.0, -18.0, -32.0};
constexpr std::array<std::array<double, 2>, 4> kPairs = {{{196, 247}, {880, 1109}, {2500, 3150}, {6000, 7100}}};
constexpr std::array kPairDb = {-12.0, -26.0};
constexpr double kBurstSeconds =
    (Map::kBurstsEnd - Map::kBursts) / (kBurstHz.size() * kBurstDb.size() + kPairs.size() * kPairDb.size());

void bursts(Tape& tape) {
  double t = Map::kBursts;
  for (const TestBurst& burst : test_signal_bursts()) {
    tape.add(t, burst.length_s, gain_of(burst.db), [&](double s) { return std::sin(kTau * burst.hz * s); });
    t += burst.length_s;
  }
  for (const auto& pair : kPairs) {
    for (const double db : kPairDb) {
      tape.add(t, kBurstSeconds, gain_of(db),
               [&pair](double s) { return std::sin(kTau * pair[0] * s) + std::sin(kTau * pair[1] * s); });
      t += kBurstSeconds;
    }
  }
}

}  // namespace

std::vector<float> make_test_signal(double sample_rate_hz) {
  Tape tape(sample_rate_hz, Map::kSeconds);
  Random random(20);
  for (int i = 0; i < 10; ++i) {
    tape.samples()[static_cast<size_t>((Map::kPulses + i * Map::kPulseEvery) * sample_rate_hz)] = 0.8f;
  }
  play_passage(tape, Map::kPassage);
  for (int i = 0; i < 14; ++i) {  // 6.6 to 13.6: noise, brighter and darker, from very soft to loud
    double dark = 0;
    const double keep = i % 2 ? 0.9 : 0.0;
    tape.add(6.6 + 0.5 * i, 0.5, gain_of(-56 + 3.8 * i) * (i % 2 ? 0.4 : 1),
             [&](double) { return dark = keep * dark + random.noise(); });
  }
  for (int i = 0; i < 6; ++i)
    phrase(tape, 13.6 + 3.2 * i, 3.2, -2.0 - 7 * i, 10 + i);  // to 32.8, down to very quiet playing
  for (int i = 0; i < 2; ++i) {                               // to 38.8: sweeps 30 Hz to 16 kHz
    const double octaves = std::log2(16000.0 / 30);
    tape.add(32.8 + 3 * i, 3, gain_of(i ? -26 : -8), [octaves](double t) {
      return std::sin(kTau * 30 * 3 / (octaves * std::numbers::ln2) * (std::exp2(octaves * t / 3) - 1));
    });
  }
  bursts(tape);                     // to 47.8
  phrase(tape, 47.8, 3.2, -1, 30);  // to 51, then silence: shows how the device's output decays
  play_passage(tape, Map::kPassageAgain);

  scale_to_full(tape.samples());
  return std::move(tape.samples());
}

std::vector<float> make_playing(double sample_rate_hz, double seconds) {
  constexpr double kPhraseSeconds = 3.8, kPauseSeconds = 0.2, kRangeDb = 30;
  Tape tape(sample_rate_hz, seconds);
  Random random(5);
  uint64_t seed = 5000;
  for (double at = 0; at + kPhraseSeconds <= seconds; at += kPhraseSeconds + kPauseSeconds)
    phrase(tape, at, kPhraseSeconds, -random.between(1, kRangeDb), seed++);
  scale_to_full(tape.samples());
  return std::move(tape.samples());
}

std::vector<TestBurst> test_signal_bursts() {
  std::vector<TestBurst> bursts;
  for (const double hz : kBurstHz) {
    for (const double db : kBurstDb)
      bursts.push_back({hz, db, Map::kBursts + kBurstSeconds * double(bursts.size()), kBurstSeconds});
  }
  return bursts;
}

std::optional<FoundSignal> find_test_signal(std::span<const float> recording, double sample_rate_hz) {
  // Make only the passage: the whole signal takes ten times as long, and correlation does not depend on level.
  Tape tape(sample_rate_hz, Map::kPassage + Map::kPassageSeconds);
  play_passage(tape, Map::kPassage);
  const std::vector<float>& signal = tape.samples();
  const auto from = static_cast<size_t>(Map::kPassage * sample_rate_hz), seconds = static_cast<size_t>(sample_rate_hz);
  // The passage is played twice; search for the first one.
  Match match = best_match(std::span(signal).subspan(from, 3 * seconds),
                           recording.first(std::min(recording.size(), 30 * seconds)));
  match.offset_frames -= static_cast<int>(from);
  if (match.correlation < 0.9) return std::nullopt;
  return FoundSignal{match.offset_frames, match.correlation};
}

}  // namespace coil::capture
