// Guitar-like dry signals from a seed: plucked lines, chords, palm-muted chugs, sweeps, noise bursts, two-tone steps.
#include "train/circuits/dry.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "train/circuits/resampling.h"

namespace coil::circuits {
namespace {

constexpr double kRateHz = 48000, kTau = 2 * std::numbers::pi;
constexpr int kStrings = 6, kLongestPeriod = 1024;

enum Kind { LINE, CHORD, CHUG, SWEEP, BURST, STEPS };

struct String {
  int period = 0, position = 0;
  double damping = 0, feedback = 0;
  std::array<double, kLongestPeriod> loop{};
};

double uniform(uint32_t* s) {
  *s ^= *s << 13;
  *s ^= *s >> 17;
  *s ^= *s << 5;
  return (*s >> 8) / 16777216.0;
}

double between(uint32_t* s, double low, double high) { return low + (high - low) * uniform(s); }
double between_log(uint32_t* s, double low, double high) { return low * pow(high / low, uniform(s)); }
int frames_log(uint32_t* s, double low, double high) { return int(kRateHz * between_log(s, low, high)); }

// Karplus-Strong: filtered noise in a loop of one period, with the comb filter of the picking position.
void pluck(String* q, uint32_t* s, double hertz, double strength, int muted) {
  q->period = int(kRateHz / hertz);
  q->period = q->period > kLongestPeriod ? kLongestPeriod : q->period < 20 ? 20 : q->period;
  q->damping = muted ? between(s, 0.35, 0.6) : between(s, 0.08, 0.5);
  q->feedback = muted ? between(s, 0.93, 0.975) : 1 - between_log(s, 0.0008, 0.012);
  q->position = 0;
  double colour = between(s, 0.15, 0.9), low = 0;
  int pick = int(between(s, 0.08, 0.35) * q->period);
  for (int i = 0; i < q->period; i++) {
    low += colour * (between(s, -1, 1) - low);
    q->loop[i] = strength * low;
  }
  for (int i = q->period - 1; i >= pick; i--) q->loop[i] -= 0.9 * q->loop[i - pick];
}

double ring(String* q) {
  if (!q->period) return 0;
  int next = q->position + 1 == q->period ? 0 : q->position + 1;
  double now = q->loop[q->position];
  q->loop[q->position] = q->feedback * ((1 - q->damping) * now + q->damping * q->loop[next]);
  q->position = next;
  return now;
}

int strum(String* strings, uint32_t* s, int kind) {
  static constexpr double interval[kStrings] = {1.0, 1.4983, 2.0, 2.5198, 2.9966, 4.0};
  int count = kind == LINE ? 1 : kind == CHUG ? 2 + int(uniform(s) * 2) : 2 + int(uniform(s) * 5);
  int first = kind == LINE ? int(uniform(s) * kStrings) : 0;
  double base = between_log(s, 82, kind == LINE ? 880 : kind == CHUG ? 150 : 330), strength = between_log(s, 0.25, 1);
  for (int k = 0; k < count; k++) {
    double hertz = base * (kind == LINE ? 1 : interval[k]) * (1 + 0.003 * between(s, -0.5, 0.5));
    pluck(&strings[(first + k) % kStrings], s, hertz, strength, kind == CHUG);
  }
  if (uniform(s) < 0.12)
    for (int k = 0; k < kStrings; k++) strings[k].feedback *= 0.6;
  return kind == LINE ? frames_log(s, 0.07, 0.7) : kind == CHUG ? frames_log(s, 0.1, 0.35) : frames_log(s, 0.25, 1.6);
}

}  // namespace

std::vector<float> synthetic_dry(uint32_t seed, long frames) {
  uint32_t s = seed * 2654435761u + 12345u;
  if (!s) s = 1;
  std::array<String, kStrings> all{};
  String* strings = all.data();
  std::vector<float> out(static_cast<size_t>(frames));
  for (int i = 0; i < 8; i++) uniform(&s);
  double choice = uniform(&s);
  const Kind kind = choice < 0.36   ? LINE
                    : choice < 0.66 ? CHORD
                    : choice < 0.80 ? CHUG
                    : choice < 0.86 ? SWEEP
                    : choice < 0.93 ? BURST
                                    : STEPS;
  double level = between_log(&s, 0.12, 1.8), bright = between(&s, 0.25, 0.8);
  double sweep_from = between_log(&s, 30, 200), sweep_to = between_log(&s, 2000, 16000);
  double phase = 0, phase2 = 0, hertz = 110, hertz2 = 220, gate = 0, gate_to = 0, low1 = 0, low2 = 0;
  double swell = 1, swell_to = 1, dc = 0;
  int next = 0, swell_left = 0;
  for (long t = 0; t < frames; t++) {
    double y;
    if (--swell_left <= 0) {
      swell_left = frames_log(&s, 0.15, 1.2);
      swell_to = uniform(&s) < 0.5 ? 1.0 : between_log(&s, 0.08, 1.3);
    }
    swell += 0.0008 * (swell_to - swell);
    if (kind <= CHUG) {
      if (--next <= 0) next = strum(strings, &s, kind);
      y = 0;
      for (int k = 0; k < kStrings; k++) y += ring(&strings[k]);
      low1 += bright * (y - low1);
      low2 += bright * (low1 - low2);
      y = 0.9 * low2;
    } else if (kind == SWEEP) {
      phase = fmod(phase + kTau / kRateHz * sweep_from * pow(sweep_to / sweep_from, double(t) / double(frames)), kTau);
      y = 0.5 * sin(phase);
    } else if (kind == BURST) {
      if (--next <= 0) {
        next = frames_log(&s, 0.02, 0.5);
        gate_to = uniform(&s) < 0.4 ? 0.0 : between_log(&s, 0.05, 1.0);
        bright = between(&s, 0.05, 0.8);
      }
      gate += 0.01 * (gate_to - gate);
      low1 += bright * (between(&s, -1, 1) - low1);
      low2 += bright * (low1 - low2);
      y = gate * low2;
    } else {
      if (--next <= 0) {
        next = frames_log(&s, 0.05, 0.6);
        gate_to = between_log(&s, 0.03, 1.0);
        hertz = between_log(&s, 60, 3000);
        hertz2 = hertz * between(&s, 1.01, 2.2);
      }
      gate += 0.004 * (gate_to - gate);
      phase = fmod(phase + kTau / kRateHz * hertz, kTau);
      phase2 = fmod(phase2 + kTau / kRateHz * hertz2, kTau);
      y = gate * (0.4 * sin(phase) + 0.25 * sin(phase2));
    }
    dc += 0.0015 * (y - dc);  // pickups give no DC
    y = 1.2 * level * swell * (y - dc);
    out[size_t(t)] = float(y > 1 ? 1 + 0.1 * (y - 1) : y < -1 ? -1 + 0.1 * (y + 1) : y);
  }
  return out;
}

namespace {

constexpr long kFadeFrames = 480;
constexpr double kLeastGain = 0.3, kMostGain = 2, kExcerptSeconds = 2.7;

void fade_ends(std::vector<float>& sound) {
  for (long t = 0; t < kFadeFrames; ++t) {
    const double gain = 0.5 - 0.5 * std::cos(std::numbers::pi * (double(t) + 0.5) / kFadeFrames);
    for (float* x : {&sound[size_t(t)], &sound[sound.size() - 1 - size_t(t)]}) *x = float(*x * gain);
  }
}

// At half speed, a guitar is as low as a bass.
std::vector<float> at_half_speed(const std::vector<float>& sound, size_t frames) {
  std::vector<double> slow(2 * sound.size());
  Interpolator(2).run(sound, 0, long(sound.size()), slow.data(), 1);
  return {slow.begin(), slow.begin() + std::ptrdiff_t(frames)};
}

std::vector<float> recorded_excerpt(const std::vector<float>& take, long frames, bool slow, uint32_t* s) {
  const long heard = slow ? (frames + 1) / 2 : frames;
  const long last = std::max(0L, long(take.size()) - heard), from = long(uniform(s) * double(last));
  std::vector<float> out(static_cast<size_t>(heard));
  std::copy_n(take.begin() + from, std::min(heard, long(take.size())), out.begin());
  if (slow) out = at_half_speed(out, size_t(frames));
  float peak = 1e-3f;
  for (const float x : out) peak = std::max(peak, std::abs(x));
  const double gain = std::min(between_log(s, kLeastGain, kMostGain), 1.0 / double(peak));
  for (float& x : out) x = float(x * gain);
  return out;
}

}  // namespace

std::vector<std::vector<float>> make_material(const std::vector<std::vector<float>>& recordings, double recorded_share,
                                              double half_speed_share, uint32_t seed, size_t count, double seconds) {
  uint32_t s = seed * 747796405u + 2891336453u;
  if (!s) s = 1;
  for (int i = 0; i < 8; ++i) uniform(&s);
  const long frames = std::lround(seconds * kRateHz);
  const long pieces = std::max(1L, std::lround(seconds / kExcerptSeconds));
  std::vector<std::vector<float>> takes(count);
  uint32_t next = seed * 100000u;
  for (std::vector<float>& take : takes) {
    for (long i = 0; i < pieces; ++i) {
      const long length = (i + 1) * frames / pieces - i * frames / pieces;
      std::vector<float> piece;
      if (!recordings.empty() && uniform(&s) < recorded_share) {
        const std::vector<float>& recording = recordings[size_t(uniform(&s) * double(recordings.size()))];
        piece = recorded_excerpt(recording, length, half_speed_share > 0 && uniform(&s) < half_speed_share, &s);
      } else {
        piece = synthetic_dry(++next, length);
      }
      fade_ends(piece);
      take.insert(take.end(), piece.begin(), piece.end());
    }
  }
  return takes;
}

}  // namespace coil::circuits
