// Each check looks for one fault; its text says what to do about it.
#include "capture/recordings/checks.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/text.h"
#include "capture/recordings/spectrum.h"
#include "capture/recordings/test_signal.h"
#include "dsp/stft.h"

namespace coil::capture {
namespace {

double power_of(std::span<const float> sound) {
  double sum = 0;
  for (const float x : sound) sum += double(x) * x;
  return sound.empty() ? 0 : sum / double(sound.size());
}

float peak_of(std::span<const float> sound) {
  float peak = 0;
  for (const float x : sound) peak = std::max(peak, std::abs(x));
  return peak;
}

double power_db(double power) { return 10 * std::log10(power + 1e-30); }

constexpr double kLowRateHz = 40000;
// Smallest power of a constant offset, relative to the wet recording's: if it was measured in silence, and if the
// device may have produced it from the signal.
constexpr double kConstantAtRestShare = 1e-5, kConstantShare = 0.01;
constexpr double kRestSeconds = 0.1;
constexpr double kLevelSeconds = 0.02, kLoudRangeDb = 40;
constexpr double kHighPassHz = 60;

// Counts runs of at least four equal samples at the file's peak: the trace of an overloaded converter.
int clipped_runs(std::span<const float> sound, float peak) {
  int runs = 0;
  size_t length = 0;
  for (const float x : sound) {
    length = std::abs(x) >= peak * 0.99999f ? length + 1 : 0;
    if (length == 4) ++runs;
  }
  return runs;
}

// Frames before which the dry recording was silent for at least half a second, in order.
std::vector<size_t> quiet_frames(std::span<const float> dry, double sample_rate_hz) {
  const auto settle = static_cast<size_t>(0.5 * sample_rate_hz);
  std::vector<size_t> frames;
  size_t silent = 0;
  for (size_t i = 0; i < dry.size(); ++i) {
    silent = std::abs(dry[i]) < 1e-5f ? silent + 1 : 0;
    if (silent > settle) frames.push_back(i);
  }
  return frames;
}

// A device's output is never constant for 16 samples in the middle of loud sound, with a step at both ends. (Between
// joined takes, the next one starts without a step.)
void check_drop_outs(std::span<const float> sound, double sample_rate_hz, const std::string& name, Findings& findings) {
  const auto near = static_cast<size_t>(0.01 * sample_rate_hz);
  const auto longest =
      static_cast<size_t>(0.05 * sample_rate_hz);  // the length of a buffer; a longer stretch is silence between sounds
  int count = 0;
  double first = 0;
  size_t run = 1;
  for (size_t i = 1; i <= sound.size(); ++i) {
    if (i < sound.size() && sound[i] == sound[i - 1]) {
      ++run;
      continue;
    }
    if (run >= 16 && run < longest) {
      const size_t from = i - run, low = from > near ? from - near : 0, high = std::min(i + near, sound.size());
      const float around = std::min(peak_of(sound.subspan(low, from - low)), peak_of(sound.subspan(i, high - i)));
      const float step = std::min(from > 0 ? std::abs(sound[from] - sound[from - 1]) : 0,
                                  i < sound.size() ? std::abs(sound[i] - sound[i - 1]) : 0);
      if (around > 0.02f && step > 0.05f * around && std::abs(sound[from]) < 0.5f * around && count++ == 0) {
        first = double(from) / sample_rate_hz;
      }
    }
    run = 1;
  }
  if (count == 0) return;
  findings.push_back({Severity::kWarning, FindingKind::kDropOut,
                      sentence("%s drops out %s, first at %.2f s; record again with a larger buffer", name.c_str(),
                               counted(count, "time").c_str(), first)});
}

// The power of narrow lines at multiples of the mains frequency, as a share of the noise's power.
double hum_share(const std::vector<float>& noise, double sample_rate_hz, double mains_hz) {
  constexpr int kSize = 16384;
  if (noise.size() < kSize) return 0;
  dsp::Stft stft(kSize);
  std::vector<float> power(stft.bins());
  std::vector<double> sum(stft.bins());
  for (size_t at = 0; at + kSize <= noise.size(); at += kSize / 2) {
    stft.analyse(std::span(noise).subspan(at, kSize), power);
    for (int k = 0; k < stft.bins(); ++k) sum[k] += power[k];
  }
  const double all = std::accumulate(sum.begin(), sum.end(), 1e-30);
  double lines = 0;
  for (int n = 1; n <= 12; ++n) {
    const int bin = static_cast<int>(std::lround(n * mains_hz * kSize / sample_rate_hz));
    for (int k = std::max(bin - 2, 0); k <= bin + 2; ++k) lines += sum[k];
  }
  return lines / all;
}

void check_noise(std::span<const float> wet, const std::vector<size_t>& quiet, double sample_rate_hz, PairFacts& facts,
                 Findings& findings) {
  if (quiet.size() < static_cast<size_t>(0.2 * sample_rate_hz)) return;
  std::vector<float> noise;
  noise.reserve(quiet.size());
  for (const size_t i : quiet) noise.push_back(wet[i]);
  const double mean = std::accumulate(noise.begin(), noise.end(), 0.0) / double(noise.size());
  for (float& x : noise) x -= static_cast<float>(mean);
  facts.noise_to_signal = power_of(noise) / (power_of(wet) + 1e-30);
  if (facts.noise_to_signal < 1e-7) return;
  const double fifty = hum_share(noise, sample_rate_hz, 50), sixty = hum_share(noise, sample_rate_hz, 60);
  if (std::max(fifty, sixty) > 0.3) {
    facts.hum_hz = fifty > sixty ? 50 : 60;
    findings.push_back(
        {facts.noise_to_signal > 1e-5 ? Severity::kWarning : Severity::kNote, FindingKind::kHum,
         sentence("mains hum of %.0f Hz is %.0f dB below the signal; try another socket or lift the ground",
                  facts.hum_hz, -power_db(facts.noise_to_signal))});
  }
  findings.push_back(
      {facts.noise_to_signal > 1e-3 ? Severity::kWarning : Severity::kNote, FindingKind::kNoise,
       sentence("noise is %.0f dB below the signal; compared with this recording no model gets below an ESR of %.2g",
                -power_db(facts.noise_to_signal), facts.noise_to_signal)});
}

double median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Checks whether the two are the same sound, up to level.
void check_same(std::span<const float> dry, std::span<const float> wet, Findings& findings) {
  double product = 0, dry_energy = 1e-30, wet_energy = 1e-30;
  for (size_t i = 0; i < dry.size(); ++i) {
    product += double(dry[i]) * double(wet[i]);
    dry_energy += double(dry[i]) * double(dry[i]), wet_energy += double(wet[i]) * double(wet[i]);
  }
  if (1 - product * product / (dry_energy * wet_energy) > 1e-6) return;
  findings.push_back({Severity::kWarning, FindingKind::kUnrelated,
                      "both recordings are the same sound: was the device bypassed, or one file given twice?"});
}

// The gain of a gate or expander falls for quiet playing; the gain of a distortion only rises.
void check_gate(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz, Findings& findings) {
  const auto piece = static_cast<size_t>(0.02 * sample_rate_hz);
  const double loudest = 20 * std::log10(peak_of(dry) + 1e-9);
  std::vector<double> loud, quiet;
  for (size_t at = 0; at + piece <= dry.size(); at += piece) {
    const double in = power_db(power_of(dry.subspan(at, piece))) - loudest;
    const double gain = power_db(power_of(wet.subspan(at, piece))) - power_db(power_of(dry.subspan(at, piece)));
    if (in > -40 && in < -28) loud.push_back(gain);
    if (in > -66 && in < -52) quiet.push_back(gain);
  }
  if (loud.size() < 10 || quiet.size() < 10) return;
  const double fall = median(loud) - median(quiet);
  if (fall < 15) return;
  findings.push_back(
      {Severity::kWarning, FindingKind::kGate,
       sentence("quiet playing comes back %.0f dB quieter than loud playing would have it: switch off the noise gate",
                fall)});
}

// Two high-passes of order 1. They remove the recovery of a bias or a supply, which is slower than any sound.
std::vector<float> without_drift(std::span<const float> sound, double sample_rate_hz) {
  const double share = 1 - std::exp(-2 * std::numbers::pi * kHighPassHz / sample_rate_hz);
  double one = 0, two = 0;
  std::vector<float> fast;
  fast.reserve(sound.size());
  for (const float x : sound) {
    one += share * (double(x) - one);
    two += share * (double(x) - one - two);
    fast.push_back(static_cast<float>(double(x) - one - two));
  }
  return fast;
}

// The power 100 to 300 ms after the dry recording falls silent, relative to the power before. The noise, measured at
// the end of the silence, is subtracted.
void check_tail(std::span<const float> dry, std::span<const float> recorded, double sample_rate_hz,
                Findings& findings) {
  const std::vector<float> fast = without_drift(recorded, sample_rate_hz);
  const std::span<const float> wet = fast;
  const auto ms = [&](double count) { return static_cast<size_t>(count * sample_rate_hz / 1000); };
  double worst_db = -200;
  size_t silent = 0;
  for (size_t i = 0; i < dry.size(); ++i) {
    silent = std::abs(dry[i]) < 1e-5f ? silent + 1 : 0;
    if (silent != ms(500) || i + 1 < ms(700)) continue;
    const size_t stop = i + 1 - silent;
    const double before = power_of(wet.subspan(stop - ms(200), ms(200))),
                 noise = power_of(wet.subspan(stop + ms(400), ms(100))),
                 behind = power_of(wet.subspan(stop + ms(100), ms(200))) - 2 * noise;
    if (before > 1e-6 && behind > 0) worst_db = std::max(worst_db, power_db(behind) - power_db(before));
  }
  if (worst_db < -35) return;
  findings.push_back(
      {Severity::kWarning, FindingKind::kTail,
       sentence(
           "a tenth of a second after playing stops the sound has only fallen by %.0f dB: switch off reverb and delay, "
           "they are not part of a capture",
           -worst_db)});
}

}  // namespace

double level_spread_db(std::span<const float> sound, double sample_rate_hz) {
  const auto piece = static_cast<size_t>(kLevelSeconds * sample_rate_hz);
  std::vector<double> levels;
  for (size_t at = 0; at + piece <= sound.size(); at += piece)
    levels.push_back(power_db(power_of(sound.subspan(at, piece))));
  if (levels.empty()) return 0;
  const double loudest = *std::max_element(levels.begin(), levels.end());
  std::erase_if(levels, [&](double level) { return level < loudest - kLoudRangeDb; });
  const double mean = std::accumulate(levels.begin(), levels.end(), 0.0) / double(levels.size());
  double squares = 0;
  for (const double level : levels) squares += (level - mean) * (level - mean);
  return std::sqrt(squares / double(levels.size()));
}

void take_out_constant(std::span<const float> dry, std::span<float> wet, double sample_rate_hz, Findings& findings) {
  const std::vector<size_t> quiet = quiet_frames(dry, sample_rate_hz);
  const bool rests = double(quiet.size()) > kRestSeconds * sample_rate_hz;
  double constant = 0, power = 1e-30;
  if (rests)
    for (const size_t i : quiet) constant += double(wet[i]) / double(quiet.size());
  else
    for (const float x : wet) constant += double(x) / double(wet.size());
  for (const float x : wet) power += std::pow(double(x) - constant, 2) / double(wet.size());
  if (constant * constant < (rests ? kConstantAtRestShare : kConstantShare) * power) return;
  for (float& x : wet) x -= static_cast<float>(constant);
  findings.push_back({Severity::kNote, FindingKind::kConstant,
                      sentence("the wet recording has a constant offset of %.2g; taken out", constant)});
}

double crest_db(std::span<const float> sound) {
  return 20 * std::log10(peak_of(sound) / std::sqrt(power_of(sound) + 1e-30) + 1e-9);
}

void check_sound(std::span<const float> sound, double sample_rate_hz, const std::string& name, Findings& findings) {
  if (double(sound.size()) < sample_rate_hz) {
    findings.push_back({Severity::kFatal, FindingKind::kLength,
                        sentence("%s is %.2f s long; a capture needs a second at least, better a minute", name.c_str(),
                                 double(sound.size()) / sample_rate_hz)});
    return;
  }
  if (sample_rate_hz < kLowRateHz) {
    findings.push_back(
        {Severity::kWarning, FindingKind::kRate,
         sentence("%s has a sample rate of %.0f Hz: nothing above %.1f kHz is in it, and the model will be as dull; "
                  "record at 44.1 or 48 kHz",
                  name.c_str(), sample_rate_hz, sample_rate_hz / 2000)});
  }
  const float peak = peak_of(sound);
  if (peak < 1e-5f) {
    findings.push_back(
        {Severity::kFatal, FindingKind::kSilence, name + " is silent: nothing was recorded, or another channel was"});
    return;
  }
  if (const double db = 20 * std::log10(peak); db < -35) {
    findings.push_back(
        {Severity::kWarning, FindingKind::kLevel,
         sentence("%s peaks at %.0f dBFS; record it louder, at -12 to -3 dBFS, so that noise matters less",
                  name.c_str(), db)});
  }
  check_drop_outs(sound, sample_rate_hz, name, findings);
  if (const int runs = clipped_runs(sound, peak); runs >= 3) {
    findings.push_back(
        {Severity::kWarning, FindingKind::kClipping,
         sentence("%s clips %d times at %.1f dBFS; the model learns that too: turn the recording level down",
                  name.c_str(), runs, 20 * std::log10(peak))});
  }
}

PairFacts check_pair(std::span<const float> dry, std::span<const float> wet, double sample_rate_hz,
                     Findings& findings) {
  PairFacts facts;
  check_noise(wet, quiet_frames(dry, sample_rate_hz), sample_rate_hz, facts, findings);
  check_same(dry, wet, findings);
  check_gate(dry, wet, sample_rate_hz, findings);
  check_tail(dry, wet, sample_rate_hz, findings);
  return facts;
}

std::optional<double> check_repeatability(std::span<const float> wet, long start, double sample_rate_hz,
                                          Findings& findings) {
  using Map = TestSignalMap;
  const long first = start + std::lround(Map::kPassage * sample_rate_hz),
             again = start + std::lround(Map::kPassageAgain * sample_rate_hz);
  const long frames = std::lround(Map::kPassageSeconds * sample_rate_hz);
  if (first < 0 || again + frames > static_cast<long>(wet.size())) return std::nullopt;
  double difference = 0, power = 0;
  for (long i = 0; i < frames; ++i) {
    difference += std::pow(double(wet[first + i]) - wet[again + i], 2);
    power += std::pow(double(wet[first + i]), 2);
  }
  const double esr = difference / (power + 1e-30);
  findings.push_back(
      {esr > 0.01 ? Severity::kWarning : Severity::kNote, FindingKind::kRepeatability,
       sentence(esr > 0.01 ? "the device changed in between: its two playings of one passage differ by an ESR of %.2g"
                           : "two playings of one passage differ by an ESR of %.2g: no model of this recording gets "
                             "below half of it",
                esr)});
  return esr;
}

}  // namespace coil::capture
