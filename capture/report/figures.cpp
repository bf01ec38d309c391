// Runs the model over each take from its beginning. Every error is relative to the device's output.
#include "capture/report/figures.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <thread>

#include "base/error.h"
#include "dsp/stft.h"
#include "ssm/run/stream.h"

namespace coil::capture {
namespace {

constexpr double kPieceSeconds = 0.02, kLevelStepDb = 6, kLowestDbfs = -96;
constexpr double kSpectrumSeconds = 0.19;
constexpr double kLowestBandHz = 50, kHighestBandHz = 20000;
constexpr double kToneDbfs = -6, kQuietToneDb = -20;
constexpr double kToneHz[] = {200, 800, 2500};
constexpr double kAliasingHz[] = {1200, 2500, 5000};
constexpr double kLowestAliasingHz = 1000;  // lower recorded sines show noise
constexpr size_t kTimedFrames = 16384, kTimedBlock = 64, kTimings = 9;

ErrorSums sums_over(const Take& take, const std::vector<float>& output, size_t begin, size_t end) {
  ErrorSums sums;
  for (size_t i = begin; i < end; ++i) {
    const double wet = double(take.wet[i]), error = double(output[i]) - wet;
    sums.error += error * error, sums.energy += wet * wet;
  }
  return sums;
}

std::vector<float> controls_at(const ssm::Card& card, const std::vector<double>& knobs) {
  std::vector<float> controls;
  size_t next = 0;
  for (const ssm::Control& control : card.controls) {
    if (control.to != ssm::Control::To::network) {
      controls.push_back(float(control.default_value));
      continue;
    }
    if (next == knobs.size()) throw Error("the model has more knobs than the recordings");
    controls.push_back(float(control.min + knobs[next++] * (control.max - control.min)));
  }
  if (next != knobs.size()) throw Error("the model has fewer knobs than the recordings");
  return controls;
}

void run_model(Figures& figures, const ReportInput& input) {
  for (const Take& take : input.takes) {
    figures.takes.emplace_back();
    figures.takes.back().controls = controls_at(figures.model->card(), take.knobs);
    figures.takes.back().output.resize(take.dry.size());
  }
  const size_t count = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, input.takes.size());
  std::vector<std::jthread> threads;
  for (size_t first = 0; first < count; ++first) {
    threads.emplace_back([&, first] {
      for (size_t t = first; t < input.takes.size(); t += count)
        ssm::Stream(figures.model, figures.takes[t].controls).process(input.takes[t].dry, figures.takes[t].output);
    });
  }
}

void weigh_takes(Figures& figures, const ReportInput& input) {
  std::map<std::vector<double>, std::pair<double, double>> settings;  // energy and number of frames for each
  for (const Take& take : input.takes) {
    auto& [energy, frames] = settings[take.knobs];
    for (const float value : take.wet) energy += double(value) * double(value);
    frames += double(take.wet.size());
  }
  if (settings.size() == 1) return;
  for (size_t t = 0; t < input.takes.size(); ++t) {
    const auto& [energy, frames] = settings[input.takes[t].knobs];
    figures.takes[t].weight = energy > 0 ? frames / energy : 1;
  }
}

void sum_errors(Figures& figures, const ReportInput& input) {
  for (size_t t = 0; t < input.takes.size(); ++t) {
    TakeFigures& take = figures.takes[t];
    take.all = sums_over(input.takes[t], take.output, 0, take.output.size());
    for (const Span& span : input.held_out[t]) {
      figures.parts.push_back({t, span, sums_over(input.takes[t], take.output, span.begin, span.end)});
      take.held_out.add(figures.parts.back().sums);
    }
    figures.all.add(take.all, take.weight);
    figures.held_out.add(take.held_out, take.weight);
  }
  if (figures.held_out.empty()) throw Error("nothing was held out to measure the model on");
}

bool is_held_out(const std::vector<Span>& spans, size_t begin, size_t end) {
  return std::any_of(spans.begin(), spans.end(), [&](const Span& s) { return s.begin <= begin && end <= s.end; });
}

void sum_levels(Figures& figures, const ReportInput& input) {
  const auto piece = size_t(kPieceSeconds * figures.sample_rate_hz());
  std::map<int, LevelFigures> levels;
  for (size_t t = 0; t < input.takes.size(); ++t) {
    const Take& take = input.takes[t];
    for (size_t at = 0; at + piece <= take.dry.size(); at += piece) {
      double power = 0;
      for (size_t i = at; i < at + piece; ++i) power += double(take.dry[i]) * double(take.dry[i]) / double(piece);
      const double db = 10 * std::log10(power + 1e-30);
      if (db < kLowestDbfs) continue;
      const int step = int(std::floor(db / kLevelStepDb));
      LevelFigures& level =
          levels.try_emplace(step, LevelFigures{step * kLevelStepDb, (step + 1) * kLevelStepDb, {}, {}}).first->second;
      const ErrorSums sums = sums_over(take, figures.takes[t].output, at, at + piece);
      level.all.add(sums, figures.takes[t].weight);
      if (is_held_out(input.held_out[t], at, at + piece)) level.held_out.add(sums, figures.takes[t].weight);
    }
  }
  for (const auto& [step, level] : levels)
    if (!level.all.empty()) figures.levels.push_back(level);
}

int spectrum_frames(const Figures& figures) {
  size_t shortest = size_t(kSpectrumSeconds * figures.sample_rate_hz());
  for (const HeldOutPart& part : figures.parts) shortest = std::min(shortest, part.span.end - part.span.begin);
  int frames = 64;
  while (size_t(frames) * 2 <= shortest) frames *= 2;
  return frames;
}

void sum_bands(Figures& figures, const ReportInput& input) {
  dsp::Stft stft(spectrum_frames(figures));
  const auto size = size_t(stft.size());
  std::vector<float> power(size_t(stft.bins())), difference(size);
  std::vector<double> wet(power.size()), error(power.size());
  for (const HeldOutPart& part : figures.parts) {
    const TakeFigures& take = figures.takes[part.take];
    const std::vector<float>& target = input.takes[part.take].wet;
    for (size_t at = part.span.begin; at + size <= part.span.end; at += size / 2) {
      stft.analyse(std::span(target).subspan(at, size), power);
      for (size_t k = 0; k < power.size(); ++k) wet[k] += take.weight * double(power[k]);
      for (size_t i = 0; i < size; ++i) difference[i] = take.output[at + i] - target[at + i];
      stft.analyse(difference, power);
      for (size_t k = 0; k < power.size(); ++k) error[k] += take.weight * double(power[k]);
    }
  }
  double all = 1e-30;
  for (const double value : wet) all += value;
  const double bin_hz = figures.sample_rate_hz() / double(size);
  for (int third = -13;; ++third) {
    const double centre = 1000 * std::exp2(third / 3.0), low = centre * std::exp2(-1 / 6.0),
                 high = centre * std::exp2(1 / 6.0);
    if (centre > 1.02 * kHighestBandHz || high > figures.sample_rate_hz() / 2) break;
    ErrorSums band;
    size_t bins = 0;
    for (auto k = size_t(std::ceil(low / bin_hz)); double(k) * bin_hz < high; ++k, ++bins)
      band.error += error[k], band.energy += wet[k];
    if (centre < 0.98 * kLowestBandHz || bins == 0) continue;
    figures.bands.push_back(
        {centre, 10 * std::log10(band.energy / all + 1e-20), 10 * std::log10(band.error / all + 1e-20)});
  }
}

void choose_parts(Figures& figures) {
  std::vector<size_t> order;
  for (size_t i = 0; i < figures.parts.size(); ++i)
    if (!figures.parts[i].sums.empty()) order.push_back(i);
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return figures.parts[a].sums.esr() < figures.parts[b].sums.esr(); });
  figures.hardest = order.back();
  figures.typical = order[(order.size() - 1) / 2];
}

double loudest_dbfs(const ReportInput& input) {
  float peak = 0;
  for (const Take& take : input.takes)
    for (const float value : take.dry) peak = std::max(peak, std::abs(value));
  return std::min(kToneDbfs, 20 * std::log10(double(peak) + 1e-9));
}

void choose_aliasing_tones(Figures& figures) {
  for (const Tone& tone : figures.tones) {
    if (tone.hz < kLowestAliasingHz || !tone.device_off_db || !tone.model_off_db) continue;
    std::vector<Tone>& chosen = figures.aliasing_tones;
    const auto same = std::find_if(chosen.begin(), chosen.end(), [&](const Tone& t) { return t.hz == tone.hz; });
    if (same == chosen.end())
      chosen.push_back(tone);
    else if (tone.level_dbfs > same->level_dbfs)
      *same = tone;
  }
}

// Uses the recorded sines of the take with the hardest part, or of another take; otherwise the model's response to
// generated sines.
void measure_tones(Figures& figures, const ReportInput& input) {
  std::vector<size_t> order = {figures.parts[figures.hardest].take};
  for (size_t t = 0; t < input.takes.size(); ++t)
    if (t != order[0]) order.push_back(t);
  for (const size_t t : order) {
    figures.tones =
        recorded_tones(input.takes[t].dry, input.takes[t].wet, figures.takes[t].output, figures.sample_rate_hz());
    figures.tones_take = t;
    figures.tones_recorded = !figures.tones.empty();
    if (figures.tones_recorded) return choose_aliasing_tones(figures);
  }
  figures.tones_take = order[0];
  const double level = loudest_dbfs(input);
  for (const double hz : kToneHz) {
    for (const double db : {level, level + kQuietToneDb})
      figures.tones.push_back(model_tone(figures.model, figures.takes[order[0]].controls, hz, db));
  }
}

void measure_aliasing(Figures& figures, const ReportInput& input) {
  const double level = loudest_dbfs(input);
  for (const double hz : kAliasingHz) {
    AliasingFigures worst{level, {}, 0};
    std::set<std::vector<float>> seen;
    for (size_t t = 0; t < figures.takes.size(); ++t) {
      if (!seen.insert(figures.takes[t].controls).second) continue;
      ToneSpectrum spectrum = tone_spectrum(figures.model, figures.takes[t].controls, hz, level);
      if (worst.spectrum.level_db.empty() || spectrum.off_harmonics_db > worst.spectrum.off_harmonics_db)
        worst.spectrum = std::move(spectrum), worst.take = t;
    }
    figures.aliasing.push_back(std::move(worst));
  }
}

void measure_rest(Figures& figures, const ReportInput& input) {
  const size_t hardest = figures.parts[figures.hardest].take;
  const double rate_hz = figures.sample_rate_hz(), gain = std::pow(10, loudest_dbfs(input) / 20);
  const auto second = size_t(rate_hz);
  const auto peak = [](std::span<const float> sound) {
    double most = 0;
    for (const float value : sound) most = std::max(most, std::abs(double(value)));
    return most;
  };
  ssm::Stream stream(figures.model, figures.takes[hardest].controls);
  std::vector<float> sound(4 * second);
  for (size_t i = 0; i < second; ++i)
    sound[second + i] = float(gain * std::sin(2 * std::numbers::pi * 220 * double(i) / rate_hz));
  stream.process(sound, sound);
  figures.rest.peak_at_rest = peak(std::span(sound).first(second));
  figures.rest.second_later_dbfs = 20 * std::log10(peak(std::span(sound).subspan(3 * second, second / 10)) + 1e-15);
  const Alignment found = find_alignment(input.takes[hardest].dry, figures.takes[hardest].output, rate_hz);
  figures.rest.delay_frames = found.delay_frames;
  figures.rest.inverted = found.inverted;
}

// In blocks, as a host calls it; the median of several runs, because other programs run too.
double measured_ns(const Figures& figures, const ReportInput& input) {
  using Clock = std::chrono::steady_clock;
  std::vector<float> sound(kTimedFrames), out(kTimedFrames);
  const std::vector<float>& dry = input.takes[0].dry;
  for (size_t i = 0; i < sound.size(); ++i) sound[i] = dry[i % dry.size()];
  ssm::Stream stream(figures.model, figures.takes[0].controls);
  std::vector<double> times;
  for (size_t run = 0; run < kTimings; ++run) {
    const Clock::time_point begin = Clock::now();
    for (size_t at = 0; at < sound.size(); at += kTimedBlock)
      stream.process(std::span(sound).subspan(at, kTimedBlock), std::span(out).subspan(at, kTimedBlock));
    times.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / double(kTimedFrames));
  }
  std::nth_element(times.begin(), times.begin() + kTimings / 2, times.end());
  return times[kTimings / 2];
}

}  // namespace

Figures measure(const ReportInput& input) {
  Figures figures;
  figures.model = ssm::Model::load(input.model);
  const ssm::ModelConfig& config = figures.model->config();
  if (config.d_input != 1 || config.d_output != 1 || !(config.sample_rate_hz > 0))
    throw Error("a report needs a model of one channel that states its sample rate");
  if (input.takes.empty() || input.held_out.size() != input.takes.size())
    throw Error("a report needs takes, and which parts of each were held out");
  run_model(figures, input);
  weigh_takes(figures, input);
  sum_errors(figures, input);
  sum_levels(figures, input);
  sum_bands(figures, input);
  choose_parts(figures);
  measure_tones(figures, input);
  measure_aliasing(figures, input);
  measure_rest(figures, input);
  figures.ns_per_sample = measured_ns(figures, input);
  return figures;
}

}  // namespace coil::capture
