// Channels, rates, alignment, then the checks that need an aligned pair.
#include "capture/recordings/prepare.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "capture/recordings/checks.h"
#include "capture/recordings/interpolation.h"
#include "capture/recordings/spectrum.h"
#include "capture/recordings/test_signal.h"
#include "dsp/resampler.h"

namespace coil::capture {
std::vector<float> one_channel(const Recording& recording, Findings& findings) {
  const auto channels = static_cast<size_t>(recording.channels);
  const size_t frames = recording.samples.size() / channels;
  std::vector<double> power(channels);
  for (size_t i = 0; i < frames * channels; ++i)
    power[i % channels] += double(recording.samples[i]) * recording.samples[i];
  const size_t best = static_cast<size_t>(std::max_element(power.begin(), power.end()) - power.begin());
  std::vector<float> mono(frames);
  double differs = 0;
  for (size_t i = 0; i < frames; ++i) {
    mono[i] = recording.samples[i * channels + best];
    for (size_t c = 0; c < channels; ++c) {
      if (power[c] > 1e-4 * power[best]) differs += std::pow(double(mono[i]) - recording.samples[i * channels + c], 2);
    }
  }
  if (channels > 1 && differs > 1e-6 * power[best]) {
    findings.push_back({Severity::kWarning, FindingKind::kChannels,
                        sentence("%s has %zu different channels; only channel %zu, the loudest, is used",
                                 recording.name.c_str(), channels, best + 1)});
  } else if (channels > 1 && power[best] > 0 && *std::min_element(power.begin(), power.end()) <= 1e-4 * power[best]) {
    findings.push_back({Severity::kNote, FindingKind::kChannels,
                        sentence("%s was recorded on channel %zu of %zu; the others are empty", recording.name.c_str(),
                                 best + 1, channels)});
  }
  return mono;
}

std::vector<float> resampled(const std::vector<float>& sound, double from_hz, double to_hz) {
  if (from_hz == to_hz) return sound;
  dsp::Resampler resampler(from_hz, to_hz, 1);
  const auto frames = static_cast<size_t>(std::lround(double(sound.size()) * to_hz / from_hz));
  std::vector<float> out;
  out.reserve(frames + 4096);
  resampler.process(sound, out);
  const std::vector<float> silence(4096);
  while (out.size() < frames) resampler.process(silence, out);
  out.resize(frames);
  return out;
}

namespace {

constexpr double kUnusualExpansionDb = 2;  // simulated overdrives and preamps: -13 to 1.2 dB

// Detects a file whose true rate differs from its header. Tried only if the pair does not match otherwise.
bool find_rate(const std::vector<float>& dry, std::vector<float>& wet, const Recording& recording, double rate,
               PreparedPair& pair) {
  static constexpr std::array kRates = {44100.0, 48000.0, 88200.0, 96000.0, 32000.0, 192000.0};
  for (const double real_hz : kRates) {
    if (real_hz == recording.sample_rate_hz) continue;
    const std::vector<float> tried = resampled(wet, rate * real_hz / recording.sample_rate_hz, rate);
    const Alignment alignment = find_alignment(dry, tried, rate);
    if (!alignment.found) continue;
    pair.findings.push_back({Severity::kWarning, FindingKind::kRate,
                             sentence("%s says %.0f Hz and was recorded at %.0f Hz; it is read at that rate",
                                      recording.name.c_str(), recording.sample_rate_hz, real_hz)});
    wet = tried;
    pair.alignment = alignment;
    return true;
  }
  return false;
}

void say_alignment(const Alignment& alignment, bool turn, double rate, Findings& findings) {
  if (std::abs(alignment.delay_frames) > 0.01) {
    findings.push_back({Severity::kNote, FindingKind::kLatency,
                        sentence("the wet recording %s the dry one by %.2f frames (%.2f ms); taken out",
                                 alignment.delay_frames > 0 ? "lies behind" : "is ahead of",
                                 std::abs(alignment.delay_frames), 1000 * std::abs(alignment.delay_frames) / rate)});
  }
  if (alignment.inverted) {
    findings.push_back({Severity::kNote, FindingKind::kPolarity,
                        turn ? "the wet recording is inverted; turned to the dry one's polarity"
                             : "the device inverts, and the model keeps that; --polarity turn takes it out"});
  }
  if (alignment.drift_ppm != 0) {
    findings.push_back({Severity::kNote, FindingKind::kDrift,
                        sentence("the two clocks drift apart by %.1f ppm; taken out", alignment.drift_ppm)});
  }
  for (const double at : alignment.jumps_seconds) {
    findings.push_back(
        {Severity::kWarning, FindingKind::kDropOut,
         sentence("the delay jumps near %.1f s: the interface lost samples; record again with a larger buffer", at)});
  }
}

// Warns if the files seem to be swapped: devices usually compress rather than expand.
void check_order(const PreparedPair& pair, const std::vector<float>& back, double rate, Findings& findings) {
  const double expands_db = crest_db(back) - crest_db(pair.dry);
  const bool earlier = pair.alignment.delay_frames < -0.0005 * rate;
  if (expands_db < (earlier ? 1 : kUnusualExpansionDb)) return;
  // a compressor does not reduce the peaks of attacks
  if (level_spread_db(back, rate) < level_spread_db(pair.dry, rate)) return;
  findings.push_back(
      {Severity::kWarning, FindingKind::kSwapped,
       earlier ? "the wet recording is earlier and less compressed than the dry one: are the two swapped?"
               : sentence("the wet recording is less compressed than the dry one (peaks %.1f dB further above "
                          "the mean): are the two swapped?",
                          expands_db)});
}

void check_lengths(size_t dry_frames, size_t wet_frames, const Alignment& alignment, double rate, Findings& findings) {
  const double missing = double(dry_frames) + alignment.delay_frames - double(wet_frames);
  if (missing > 0.05 * rate) {
    findings.push_back(
        {Severity::kWarning, FindingKind::kLength,
         sentence("the wet recording ends %.1f s too early; only the common part is used", missing / rate)});
  }
}

// Keeps the common part: the wet recording may start late or end early.
void keep_overlap(PreparedPair& pair, size_t wet_frames) {
  const long from = std::max<long>(0, std::lround(std::ceil(-pair.alignment.delay_frames)));
  const long until = std::min<long>(static_cast<long>(pair.dry.size()),
                                    static_cast<long>(wet_frames) - std::lround(pair.alignment.delay_frames));
  if (from >= until) return;
  for (auto* sound : {&pair.dry, &pair.wet}) {
    sound->erase(sound->begin() + until, sound->end());
    sound->erase(sound->begin(), sound->begin() + from);
  }
}

void move_wet(PreparedPair& pair, double by) {
  pair.wet = read_between(pair.wet, by, 1, pair.wet.size());
  const long lost = std::min<long>(std::lround(std::ceil(std::abs(by))), static_cast<long>(pair.wet.size()));
  for (auto* sound : {&pair.dry, &pair.wet})
    by > 0 ? sound->erase(sound->end() - lost, sound->end()) : sound->erase(sound->begin(), sound->begin() + lost);
  pair.alignment.delay_frames += by;
  pair.findings.push_back(
      {Severity::kNote, FindingKind::kLatency, sentence("moved by %.1f frames to the delay of the other takes", by)});
}

}  // namespace

PreparedPair prepare_pair(const Recording& dry, const Recording& wet, double sample_rate_hz, Polarity polarity) {
  PreparedPair pair;
  pair.dry = one_channel(dry, pair.findings);
  std::vector<float> back = one_channel(wet, pair.findings);
  for (const Recording* recording : {&dry, &wet})
    pair.findings.insert(pair.findings.end(), recording->findings.begin(), recording->findings.end());
  check_sound(pair.dry, dry.sample_rate_hz, dry.name, pair.findings);
  check_sound(back, wet.sample_rate_hz, wet.name, pair.findings);
  const auto is_fatal = [](const Finding& f) { return f.severity == Severity::kFatal; };
  const auto judge = [&] { return pair.usable = std::none_of(pair.findings.begin(), pair.findings.end(), is_fatal); };
  if (!judge()) return pair;

  pair.dry = resampled(pair.dry, dry.sample_rate_hz, sample_rate_hz);
  back = resampled(back, wet.sample_rate_hz, sample_rate_hz);
  const std::optional<FoundSignal> sent = find_test_signal(pair.dry, sample_rate_hz),
                                   came = find_test_signal(back, sample_rate_hz);
  if (came && (!sent || came->correlation > sent->correlation + 1e-3)) {
    pair.findings.push_back({Severity::kFatal, FindingKind::kSwapped,
                             wet.name + " is the test signal itself: give it first, and what came back second"});
    judge();
    return pair;
  }
  pair.alignment = find_alignment(pair.dry, back, sample_rate_hz);
  if (!pair.alignment.found && !find_rate(pair.dry, back, wet, sample_rate_hz, pair)) {
    pair.findings.push_back(
        {Severity::kFatal, FindingKind::kUnrelated,
         wet.name + " has nothing of " + dry.name + " in it: not the same take, or nothing went through the device"});
    judge();
    return pair;
  }
  // If the delay is smaller than the alignment's accuracy, the pair was already aligned.
  const bool through_interface =
      std::abs(pair.alignment.delay_frames) > kMostMarginFrames || pair.alignment.drift_ppm != 0;
  const bool turn = polarity == Polarity::kTurn || (polarity == Polarity::kAutomatic && through_interface);
  say_alignment(pair.alignment, turn, sample_rate_hz, pair.findings);
  check_lengths(pair.dry.size(), back.size(), pair.alignment, sample_rate_hz, pair.findings);
  check_order(pair, back, sample_rate_hz, pair.findings);
  pair.alignment.inverted = pair.alignment.inverted && turn;
  pair.wet = aligned(back, pair.dry.size(), pair.alignment);
  if (sent) pair.repeatability_esr = check_repeatability(pair.wet, sent->start_frame, sample_rate_hz, pair.findings);
  keep_overlap(pair, back.size());
  take_out_constant(pair.dry, pair.wet, sample_rate_hz, pair.findings);
  pair.noise_to_signal = check_pair(pair.dry, pair.wet, sample_rate_hz, pair.findings).noise_to_signal;
  judge();
  return pair;
}

std::vector<size_t> share_delays(std::vector<PreparedPair>& pairs, const std::vector<double>& known) {
  const auto counts = [](const PreparedPair& pair) {
    return pair.usable && pair.alignment.found && pair.alignment.drift_ppm == 0;
  };
  std::vector<double> delays = known;
  for (const PreparedPair& pair : pairs)
    if (counts(pair)) delays.push_back(pair.alignment.delay_frames);
  std::sort(delays.rbegin(), delays.rend());
  std::vector<size_t> moved;
  for (size_t first = 0, end; first < delays.size(); first = end) {
    // Margins make estimates too small, never too large. A pair that needs no delay was made in a computer.
    const double least = delays[first] - kMostMarginFrames - 1;
    for (end = first; end < delays.size() && delays[end] >= least;) ++end;
    const bool none =
        std::find(delays.begin() + long(first), delays.begin() + long(end), 0.0) != delays.begin() + long(end);
    const double shared = none ? 0 : delays[first];
    for (size_t i = 0; i < pairs.size(); ++i) {
      const double delay = pairs[i].alignment.delay_frames;
      if (!counts(pairs[i]) || delay < least || delay > delays[first] || delay == shared) continue;
      move_wet(pairs[i], shared - delay);
      moved.push_back(i);
    }
  }
  return moved;
}

}  // namespace coil::capture
