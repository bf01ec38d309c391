// Lanes go through the takes segment by segment and keep their states. Every step sums the gradients of all lanes.
#include "capture/trainer/trainer.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <optional>
#include <thread>

#include "base/error.h"
#include "capture/trainer/archive.h"
#include "capture/trainer/barrier.h"
#include "capture/trainer/discretisation.h"
#include "capture/trainer/evaluation.h"
#include "capture/trainer/held_out.h"
#include "capture/trainer/initial_parameters.h"
#include "capture/trainer/lane_group.h"
#include "capture/trainer/optimiser.h"
#include "capture/trainer/random.h"
#include "capture/trainer/pure_tones.h"
#include "capture/trainer/stft_loss.h"
#include "dsp/denormals.h"
#include "ssm/machine/target.h"

namespace coil::capture {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kLanesPerThread = 16;  // the last of them plays a tone in the last stage
constexpr size_t kSegmentUnit = SlowMap::kHopFrames;
// Segments become longer in stages. The second stage is as long as the first, the third is the rest.
constexpr size_t kBatchFrames = 1024 * 16;  // per step, over all lanes; doubles with each stage
constexpr size_t kStages = 3;
constexpr std::array<size_t, kStages> kShortestSegment = {512, 512, 1024};  // with many threads
constexpr double kFirstStage = 0.15, kFirstStageFrames = 2.5e7;             // of all frames; at most
constexpr double kUnscoredSeconds = 0.17;  // at the start of a lane that begins inside a take
constexpr double kInputRms = 0.25;         // of the network's input; its target has rms 1
constexpr double kLeastEnergy = 1e-3;      // of the batch: quieter batches have less weight
// The held-out error is measured at growing intervals, about kLooks times. Each measurement takes a hundredth of a
// second, so the intervals have a least length.
constexpr double kLooks = 30, kLaterLooks = 1.25;
constexpr double kFirstLookFrames = 3e6, kFirstLookSeconds = 0.4, kBetweenLooksFrames = 6e6, kBetweenLooksSeconds = 0.4;
constexpr double kWarmUpTimes = 3;  // times the slowest time constant, before a held-out part
constexpr double kYoung = 2;        // a network counts as young below this multiple of the trial's frames
constexpr double kTrialTimes = 50, kLateTrialTimes = 20;  // of a trial's frames: the least training that has one
constexpr double kLookbackSeconds = 1;  // gradients of the slow path go back this far before a segment

double mean_square(const std::vector<Take>& takes, std::vector<float> Take::*signal) {
  double sum = 0, count = 0;
  for (const Take& take : takes) {
    for (const float value : take.*signal) sum += double(value) * double(value);
    count += double((take.*signal).size());
  }
  return sum / std::max(1.0, count);
}

void apply_scales(std::vector<Take>& takes, const Scales& scales) {
  for (Take& take : takes) {
    for (float& value : take.dry) value = float(double(value) / scales.input);
    for (float& value : take.wet) value = float(double(value) / scales.output);
  }
}

// Throws Error for an unknown name.
const TrainerKernels& kernels_named(const std::string& target) {
  // Never freed: a detached learning thread may still read it while the program ends.
  static const auto& tables = *new std::vector<TrainerKernels>(available_trainer_kernels());
  if (target.empty()) return tables.front();
  const std::string name = ssm::Target::from_name(target).name();
  return *std::find_if(tables.begin(), tables.end(), [&](const TrainerKernels& table) { return name == table.target; });
}

// The saved state without its checksum; throws if it is damaged.
std::string_view undamaged(std::string_view saved) {
  uint64_t sum = 0;
  if (saved.size() < sizeof sum) throw Error("the saved training is cut off");
  std::memcpy(&sum, saved.data() + saved.size() - sizeof sum, sizeof sum);
  saved.remove_suffix(sizeof sum);
  if (sum != XXH3_64bits(saved.data(), saved.size())) throw Error("the saved training is damaged");
  return saved;
}

// A lane, a held-out part and the model that plays the take from its start must have the same hops.
size_t begin_of_hop(size_t frame) { return frame - frame % SlowMap::kHopFrames; }

// For a take that has grown: its previous length, and what was held out of it.
struct HeldOutBefore {
  size_t frames = 0;
  std::vector<Span> spans;
};

// Without these weights (and their gradients), the slow path's states are a linear, time-invariant function of their
// input.
template <class T>
void make_time_invariant(const ParameterMap& map, std::vector<T>& values) {
  if (map.slow_path.size == 0) return;
  const auto clear = [&](size_t at, size_t count) {
    std::fill_n(values.begin() + std::ptrdiff_t(map.slow + at), count, T(0));
  };
  clear(map.slow_path.recurrent, SlowMap::hidden * SlowMap::units);
  clear(map.slow_path.gate_weight, SlowMap::units * SlowMap::hidden);
}

// The position of a lane.
struct Walk {
  size_t take = 0, at = 0;
  size_t unscored = 0;  // frames from `at` on
};

}  // namespace

struct Trainer::Impl {
  // The data of one thread.
  struct Worker {
    std::vector<LaneGroup<float>> groups;
    Workspace<float> workspace;
    std::vector<double> gradient;
    ToneSplitter splitter;
    std::vector<float> off_harmonics;  // of the tone
    PureTone tone;
    LossSums energy, error;
    StftLoss<float> spectra;
    std::vector<float> of_spectra;  // gradient, [frame][lane]
    double spectral_loss = 0;
  };

  // scaled: the takes have these scales already. held_out: parts of the first takes that must stay held out
  Impl(std::vector<Take> given, const TrainingSettings& s, std::optional<Scales> scaled = {},
       std::vector<HeldOutBefore> held_out = {});

  size_t lanes() const { return settings.threads * kLanesPerThread; }
  double batch_frames() const { return double(segment_frames * lanes()); }
  void check_takes() const;
  std::vector<std::vector<float>> hops_of(const std::vector<Take>& of_takes) const;
  std::vector<float> first_parameters();
  void scale_takes();
  void weigh_takes();
  void hold_out_parts(const std::vector<HeldOutBefore>& before);
  void place_lanes();
  size_t stage() const;
  bool plays_tones() const { return stage() == kStages - 1; }
  size_t due_segment() const;
  void set_segment(size_t frames);
  void move_on(Walk& walk, bool& fresh);
  void move_on(PureTone& tone);

  void gather(size_t worker);
  void gather_lane(LaneGroup<float>& group, size_t lane, const Walk& walk);
  std::vector<float> tone_hops(const PureTone& tone) const;
  void gather_tone(LaneGroup<float>& group, size_t lane, const PureTone& tone);
  void pass(size_t worker);
  void split_tone(Worker& worker);
  bool compares_spectra() const { return settings.stft_weight > 0 && stage() == kStages - 1; }
  void compare_spectra(Worker& worker, LaneGroup<float>& group);
  bool sum_up();
  void finish_step();
  void work(size_t worker, Barrier& wait, const std::function<bool()>& stop);
  void advance(const std::function<bool()>& stop);
  void look();
  double frames_of_all() const;
  double trial_frames() const { return (state.tried_again ? kLateTrial : 1) * settings.slow_trial_frames; }
  bool trial_is_due() const;
  bool affords_late_trial() const;
  std::unique_ptr<Impl> of_shape(size_t slow_features, size_t filter_modes) const;
  std::unique_ptr<Impl> with_more(std::vector<Take> longer, double frames, double seconds, double slow_trial_frames);
  void advance_to(double frames, const std::function<bool()>& stop);
  double elapsed_s() const;
  double progress() const;
  uint64_t fingerprint_of_all() const;
  template <class Archive>
  void visit(Archive& archive);

  TrainingSettings settings;
  ParameterMap map;
  size_t lookback_hops;
  const Kernels<float>* kernels;
  size_t segment_frames = kSegmentUnit;
  std::vector<Take> takes;                // scaled
  std::vector<std::vector<float>> hops;   // one per take, with a slow path
  std::vector<std::vector<Span>> hidden;  // held-out parts of each take
  std::vector<Passage> passages;
  std::vector<double> weights;  // one per take: all settings of the knobs have equal weight
  Scales scales;
  float peak = 0;  // peak of the input

  Random random;
  Optimiser optimiser;
  std::vector<float> modes, best;
  std::vector<Worker> workers;
  std::vector<Walk> walks;
  std::vector<double> gradient;
  mutable Evaluation evaluation;
  TrainingState state;
  std::vector<CurvePoint> curve;
  uint64_t fingerprint = 0;
  double next_look = 0;  // in frames, or in seconds if the time is limited
  double elapsed_before_s = 0;
  std::optional<Clock::time_point> since;  // while it works
  double halt = HUGE_VAL;                  // in frames; a look is due then
  bool step_counts = true, leave = false, stopped = false;
};

Trainer::Impl::Impl(std::vector<Take> given, const TrainingSettings& s, std::optional<Scales> scaled,
                    std::vector<HeldOutBefore> held_out)
    : settings(s),
      map(s.shape),
      lookback_hops(size_t(kLookbackSeconds * s.sample_rate_hz / double(SlowMap::kHopFrames))),
      kernels(&kernels_named(s.target).of(s.shape)),
      takes(std::move(given)),
      random{s.seed},
      optimiser(map, first_parameters(), s.slowest_s * s.sample_rate_hz),
      modes(kModeValues * map.all_modes()),
      best(optimiser.parameters()),
      gradient(map.size),
      evaluation(map, *kernels) {
  check_takes();
  if (scaled)
    scales = *scaled;
  else
    scale_takes();
  for (const Take& take : takes)
    for (const float value : take.dry) peak = std::max(peak, std::abs(value));
  weigh_takes();
  hold_out_parts(held_out);
  hops = hops_of(takes);
  for (size_t i = 0; i < s.threads; ++i) {
    workers.push_back({std::vector<LaneGroup<float>>(kLanesPerThread / kernels->lanes,
                                                     LaneGroup<float>(map, *kernels, segment_frames, lookback_hops)),
                       Workspace<float>(map, kernels->lanes, segment_frames),
                       std::vector<double>(map.size),
                       ToneSplitter(segment_frames),
                       {},
                       {},
                       {},
                       {},
                       StftLoss<float>(segment_frames),
                       {}});
  }
  set_segment(due_segment());
  place_lanes();
  discretise(map, optimiser.parameters().data(), modes.data());
  next_look = settings.seconds > 0 ? kFirstLookSeconds : std::min(kFirstLookFrames, settings.slow_trial_frames);
  state.best_esr = HUGE_VAL;
  fingerprint = fingerprint_of_all();
}

std::vector<std::vector<float>> Trainer::Impl::hops_of(const std::vector<Take>& of_takes) const {
  std::vector<std::vector<float>> features(of_takes.size());
  for (size_t i = 0; i < of_takes.size() && map.slow_path.size > 0; ++i)
    features[i] = hop_features(of_takes[i].dry, map.shape.slow_features);
  return features;
}

std::vector<float> Trainer::Impl::first_parameters() {
  std::vector<float> parameters = initial_parameters(map, random, settings.sample_rate_hz);
  if (!settings.selective) make_time_invariant(map, parameters);
  return parameters;
}

void Trainer::Impl::check_takes() const {
  if (takes.empty()) throw Error("there is nothing to learn from: no take");
  for (const Take& take : takes) {
    if (take.dry.size() != take.wet.size()) throw Error("the dry and the wet recording of a take are not equally long");
    if (take.knobs.size() != map.shape.knobs) throw Error("a take has not as many knobs as the network");
  }
  if (mean_square(takes, &Take::dry) <= 0) throw Error("the dry recordings are silent");
  if (mean_square(takes, &Take::wet) <= 0) throw Error("the wet recordings are silent");
}

void Trainer::Impl::scale_takes() {
  scales.input = std::sqrt(mean_square(takes, &Take::dry)) / kInputRms;
  scales.output = std::sqrt(mean_square(takes, &Take::wet));
  apply_scales(takes, scales);
}

void Trainer::Impl::weigh_takes() {
  for (const Take& take : takes) {
    double energy = 0, frames = 0;
    for (const Take& other : takes) {
      if (other.knobs != take.knobs) continue;
      for (const float value : other.wet) energy += double(value) * double(value);
      frames += double(other.wet.size());
    }
    weights.push_back(energy > 0 ? frames / energy : 1);
  }
}

// Holds out parts of the new sound of takes that have grown.
void Trainer::Impl::hold_out_parts(const std::vector<HeldOutBefore>& before) {
  const size_t warm_up = size_t(kWarmUpTimes * settings.slowest_s * settings.sample_rate_hz);
  for (size_t i = 0; i < takes.size(); ++i) {
    if (i < before.size()) {
      const std::ptrdiff_t from = std::ptrdiff_t(before[i].frames);
      const Take more{{}, {takes[i].wet.begin() + from, takes[i].wet.end()}, {}};
      hidden.push_back(before[i].spans);
      for (const Span& span : held_out_spans(more, settings.sample_rate_hz))
        hidden.back().push_back({span.begin + before[i].frames, span.end + before[i].frames});
    } else {
      hidden.push_back(held_out_spans(takes[i], settings.sample_rate_hz));
    }
  }
  size_t count = 0;
  for (const std::vector<Span>& spans : hidden) count += spans.size();
  // A few long passages would leave lanes idle.
  const size_t pieces = std::max<size_t>(1, kMaxLanes / std::max<size_t>(1, count));
  for (size_t i = 0; i < takes.size(); ++i) {
    for (const Span& span : hidden[i]) {
      for (size_t k = 0; k < pieces; ++k) {
        const size_t length = span.end - span.begin;
        const Span piece{span.begin + length * k / pieces, span.begin + length * (k + 1) / pieces};
        if (piece.begin < piece.end)
          passages.push_back({i, begin_of_hop(piece.begin - std::min(piece.begin, warm_up)), piece});
      }
    }
  }
  // Passages of similar length share a vector of lanes.
  std::stable_sort(passages.begin(), passages.end(),
                   [](const Passage& a, const Passage& b) { return a.span.end - a.start < b.span.end - b.start; });
}

// Distributes the lanes over all sound, so that they differ as much as possible.
void Trainer::Impl::place_lanes() {
  size_t all = 0;
  for (const Take& take : takes) all += take.dry.size();
  walks.resize(lanes());
  for (size_t i = 0; i < lanes(); ++i) {
    size_t at = size_t((double(i) + random.uniform()) / double(lanes()) * double(all)), take = 0;
    while (at >= takes[take].dry.size() && take + 1 < takes.size()) at -= takes[take++].dry.size();
    at = begin_of_hop(at);
    walks[i] = {take, at, at > 0 ? size_t(kUnscoredSeconds * settings.sample_rate_hz) : 0};
  }
}

size_t Trainer::Impl::stage() const {
  const double all = state.frames > 0 ? frames_of_all() : HUGE_VAL;
  const double of_first = std::min(kFirstStage * all, kFirstStageFrames);
  return state.frames < of_first ? 0 : state.frames < 2 * of_first ? 1 : kStages - 1;
}

// Short segments at first: many small steps learn the coarse features. Longer ones follow, because a gradient that ends
// at the start of a short segment is biased. Within short segments, a tone's change from step to step would look like
// aliasing.
size_t Trainer::Impl::due_segment() const {
  return std::max(kShortestSegment[stage()], (kBatchFrames << stage()) / lanes() / kSegmentUnit * kSegmentUnit);
}

void Trainer::Impl::set_segment(size_t frames) {
  segment_frames = frames;
  for (Worker& worker : workers) {
    for (LaneGroup<float>& group : worker.groups) {
      LaneGroup<float> other(map, *kernels, frames, lookback_hops);
      other.continue_from(group);
      group = std::move(other);
    }
    worker.workspace = Workspace<float>(map, kernels->lanes, frames);
    worker.splitter = ToneSplitter(frames);
    worker.spectra = StftLoss<float>(frames);
    worker.off_harmonics.resize(frames);
    worker.tone = draw_pure_tone(random, takes.size(), peak, frames, settings.sample_rate_hz);
  }
}

void Trainer::Impl::move_on(Walk& walk, bool& fresh) {
  walk.at += segment_frames;
  walk.unscored -= std::min(walk.unscored, segment_frames);
  fresh = walk.at >= takes[walk.take].dry.size();
  if (fresh) walk = {random.below(takes.size()), 0, 0};
}

void Trainer::Impl::move_on(PureTone& tone) {
  tone.unscored -= std::min<size_t>(tone.unscored, 1);
  if (--tone.left == 0) tone = draw_pure_tone(random, takes.size(), peak, segment_frames, settings.sample_rate_hz);
}

void Trainer::Impl::gather_lane(LaneGroup<float>& group, size_t i, const Walk& walk) {
  const size_t lanes = group.lanes();
  const Take& take = takes[walk.take];
  group.set_lane(i, optimiser.parameters().data(), take.knobs, weights[walk.take]);
  if (group.slow()) group.slow()->set_hops(i, hops[walk.take], take.knobs, walk.at / SlowMap::kHopFrames, 0);
  const size_t there = std::min(segment_frames, take.dry.size() - walk.at);
  for (size_t t = 0; t < segment_frames; ++t) {
    const bool is_there = t < there;
    group.input()[t * lanes + i] = is_there ? take.dry[walk.at + t] : 0.0f;
    group.target()[t * lanes + i] = is_there ? take.wet[walk.at + t] : 0.0f;
    group.counts()[t * lanes + i] = is_there && t >= walk.unscored ? 1.0f : 0.0f;
  }
  for (const Span& span : hidden[walk.take]) {
    const size_t end = std::min(span.end, walk.at + segment_frames);
    for (size_t at = std::max(span.begin, walk.at); at < end; ++at) group.counts()[(at - walk.at) * lanes + i] = 0;
  }
}

void Trainer::Impl::gather_tone(LaneGroup<float>& group, size_t i, const PureTone& tone) {
  const size_t lanes = group.lanes();
  group.set_lane(i, optimiser.parameters().data(), takes[tone.take].knobs, 0);
  for (size_t t = 0; t < segment_frames; ++t) {
    group.input()[t * lanes + i] = tone_sample(tone, t, segment_frames);
    group.target()[t * lanes + i] = group.counts()[t * lanes + i] = 0;
  }
  if (group.slow()) group.slow()->set_steady_hops(i, tone_hops(tone), takes[tone.take].knobs);
}

// All segments of a tone are alike.
std::vector<float> Trainer::Impl::tone_hops(const PureTone& tone) const {
  std::vector<float> segment(segment_frames);
  for (size_t t = 0; t < segment_frames; ++t) segment[t] = tone_sample(tone, t, segment_frames);
  return hop_features(segment, map.shape.slow_features);
}

void Trainer::Impl::gather(size_t index) {
  Worker& worker = workers[index];
  worker.energy = {};
  for (size_t g = 0; g < worker.groups.size(); ++g) {
    LaneGroup<float>& group = worker.groups[g];
    for (size_t i = 0; i < group.lanes(); ++i) {
      const size_t lane = g * group.lanes() + i;
      if (lane + 1 == kLanesPerThread && plays_tones())
        gather_tone(group, i, worker.tone);
      else
        gather_lane(group, i, walks[index * kLanesPerThread + lane]);
    }
    group.prepare();
    const LossSums energy = group.energy();
    worker.energy.plain += energy.plain, worker.energy.pre_emphasised += energy.pre_emphasised;
  }
}

void Trainer::Impl::pass(size_t index) {
  LossSums energy;
  for (const Worker& worker : workers)
    energy.plain += worker.energy.plain, energy.pre_emphasised += worker.energy.pre_emphasised;
  const double least = kLeastEnergy * batch_frames();
  Worker& worker = workers[index];
  worker.error = {};
  worker.spectral_loss = 0;
  std::fill(worker.gradient.begin(), worker.gradient.end(), 0.0);
  const Weights<float> shared{optimiser.parameters().data(), modes.data(), map.shape.layers};
  const size_t lanes = kernels->lanes;
  for (LaneGroup<float>& group : worker.groups) {
    const bool has_tone = plays_tones() && &group == &worker.groups.back();
    group.forward(shared, worker.workspace);
    if (has_tone) split_tone(worker);
    if (compares_spectra()) compare_spectra(worker, group);
    const LossSums error =
        group.loss(2 / (energy.plain + least), 2 / (energy.pre_emphasised + least), worker.workspace);
    for (size_t i = 0; compares_spectra() && i < worker.of_spectra.size(); ++i)
      worker.workspace.output[i] += worker.of_spectra[i];
    for (size_t t = 0; has_tone && t < segment_frames; ++t)
      worker.workspace.output[(t + 1) * lanes - 1] = worker.off_harmonics[t];
    group.backward(shared, worker.workspace, worker.gradient.data());
    worker.error.plain += error.plain / (energy.plain + least);
    worker.error.pre_emphasised += error.pre_emphasised / (energy.pre_emphasised + least);
  }
  chain_modes(map, optimiser.parameters().data(), worker.gradient.data());
}

// Replaces the tone's output by its part off the harmonics, scaled to the gradient of its share of the loss.
void Trainer::Impl::split_tone(Worker& worker) {
  const size_t lanes = kernels->lanes;
  for (size_t t = 0; t < segment_frames; ++t) worker.off_harmonics[t] = worker.workspace.output[(t + 1) * lanes - 1];
  const ToneEnergy energy = worker.splitter.leave_off_harmonics(worker.off_harmonics, worker.tone.periods);
  const double all = energy.all + kLeastEnergy * double(segment_frames);
  const double scale = worker.tone.unscored > 0
                           ? 0
                           : 2 * settings.aliasing_weight * worker.tone.weight / (all * double(settings.threads));
  for (float& value : worker.off_harmonics) value *= float(scale);
}

// The mean over all lanes. A tone has no target, so nothing of it counts.
void Trainer::Impl::compare_spectra(Worker& worker, LaneGroup<float>& group) {
  const size_t n = kernels->lanes;
  const double share = settings.stft_weight / double(lanes());
  std::vector<float> output(segment_frames), target(segment_frames), counts(segment_frames), slope(segment_frames);
  worker.of_spectra.resize(segment_frames * n);
  for (size_t lane = 0; lane < n; ++lane) {
    for (size_t t = 0; t < segment_frames; ++t) {
      output[t] = worker.workspace.output[t * n + lane];
      target[t] = group.target()[t * n + lane], counts[t] = group.counts()[t * n + lane];
    }
    worker.spectral_loss += share * worker.spectra.evaluate(output, target, counts, slope);
    for (size_t t = 0; t < segment_frames; ++t) worker.of_spectra[t * n + lane] = float(share) * slope[t];
  }
}

// Returns false if nothing can be learned from this step.
bool Trainer::Impl::sum_up() {
  double loss = 0;
  std::fill(gradient.begin(), gradient.end(), 0.0);
  for (const Worker& worker : workers) {
    for (size_t i = 0; i < gradient.size(); ++i) gradient[i] += worker.gradient[i];
    loss += worker.error.plain + worker.error.pre_emphasised + worker.spectral_loss;
  }
  if (!settings.selective) make_time_invariant(map, gradient);
  state.frames += batch_frames();
  ++state.steps;
  if (!optimiser.begin(gradient, progress())) return false;
  state.loss += (loss - state.loss) * std::max(0.01, 1.0 / double(optimiser.steps()));
  return true;
}

void Trainer::Impl::finish_step() {
  if (step_counts) optimiser.finish();
  for (size_t i = 0; i < walks.size(); ++i) {
    bool fresh = false;
    move_on(walks[i], fresh);
    LaneGroup<float>& group = workers[i / kLanesPerThread].groups[i % kLanesPerThread / kernels->lanes];
    if (fresh || !step_counts) group.clear_state(i % kernels->lanes);
  }
  for (Worker& worker : workers) move_on(worker.tone);
  if (due_segment() > segment_frames) set_segment(due_segment());
  leave = progress() >= 1 || state.frames >= halt || (settings.seconds > 0 ? elapsed_s() : state.frames) >= next_look;
}

void Trainer::Impl::work(size_t index, Barrier& wait, const std::function<bool()>& stop) {
  const dsp::ScopedFlushDenormals flush;  // decay in silence would be a hundred times as slow with denormals
  while (true) {
    if (index == 0 && stop && stop()) leave = stopped = true;
    wait.arrive_and_wait();
    if (leave) return;
    discretise(map, optimiser.parameters().data(), modes.data(), index, settings.threads);
    gather(index);
    wait.arrive_and_wait();
    pass(index);
    wait.arrive_and_wait();
    if (index == 0) step_counts = sum_up();
    wait.arrive_and_wait();
    if (step_counts) {
      for (size_t m = index; m < optimiser.matrices(); m += settings.threads) optimiser.find_direction(m);
    }
    wait.arrive_and_wait();
    if (index == 0) finish_step();
  }
}

void Trainer::Impl::advance(const std::function<bool()>& stop) {
  since = Clock::now();
  leave = stopped = false;
  Barrier wait(settings.threads);
  std::vector<std::thread> threads;
  for (size_t i = 1; i < settings.threads; ++i) threads.emplace_back([&, i] { work(i, wait, stop); });
  work(0, wait, stop);
  for (std::thread& thread : threads) thread.join();
  look();
  elapsed_before_s = elapsed_s();
  since.reset();
  state.progress = progress();
  state.elapsed_s = elapsed_before_s;
  state.left_s = settings.seconds > 0 ? std::max(0.0, settings.seconds - state.elapsed_s)
                                      : state.elapsed_s * (1 - state.progress) / std::max(1e-9, state.progress);
}

void Trainer::Impl::look() {
  const bool by_time = settings.seconds > 0;
  const double now = by_time ? elapsed_s() : state.frames, all = by_time ? settings.seconds : settings.frames;
  const double least = by_time ? kBetweenLooksSeconds : kBetweenLooksFrames;
  if (!stopped) next_look = std::max(now + least, std::min(now * kLaterLooks, now + all / kLooks));
  if (state.steps == 0) return;
  std::vector<float> average(optimiser.average().begin(), optimiser.average().end());
  const std::vector<ErrorAndEnergy> results = evaluation.run(average, takes, hops, passages);
  double error = 0, energy = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    error += results[i].error * weights[passages[i].take], energy += results[i].energy * weights[passages[i].take];
  }
  state.held_out_esr = error / std::max(energy, 1e-30);
  curve.push_back({elapsed_s(), state.frames, state.held_out_esr});
  state.improved = state.held_out_esr < state.best_esr;
  if (!state.improved) return;
  state.best_esr = state.held_out_esr;
  best = std::move(average);
}

// An estimate if the time is limited.
double Trainer::Impl::frames_of_all() const {
  return settings.seconds > 0 ? state.frames / std::max(1e-9, progress()) : settings.frames;
}

bool Trainer::Impl::trial_is_due() const {
  return !state.shapes_tried && map.slow_path.size == 0 && map.filter_bank.size == 0 && progress() < 1 &&
         frames_of_all() >= kTrialTimes * settings.slow_trial_frames && state.frames >= trial_frames();
}

bool Trainer::Impl::affords_late_trial() const {
  return frames_of_all() >= kLateTrialTimes * kLateTrial * settings.slow_trial_frames;
}

// The same training from its start, with another network.
std::unique_ptr<Trainer::Impl> Trainer::Impl::of_shape(size_t slow_features, size_t filter_modes) const {
  TrainingSettings other = settings;
  other.shape.slow_features = slow_features, other.shape.filter_modes = filter_modes;
  auto made = std::make_unique<Impl>(takes, other, scales);
  made->hidden = hidden, made->passages = passages;
  return made;
}

// The lanes restart, distributed over all sound.
std::unique_ptr<Trainer::Impl> Trainer::Impl::with_more(std::vector<Take> longer, double frames, double seconds,
                                                        double slow_trial_frames) {
  TrainingSettings more = settings;
  more.frames = frames, more.seconds = seconds, more.slow_trial_frames = slow_trial_frames;
  std::vector<HeldOutBefore> before;
  for (size_t i = 0; i < takes.size(); ++i) {
    if (i >= longer.size() || longer[i].dry.size() < takes[i].dry.size() || longer[i].wet.size() < takes[i].wet.size())
      throw Error("takes may only grow while they are learned from");
    before.push_back({takes[i].wet.size(), hidden[i]});
  }
  apply_scales(longer, scales);
  auto made = std::make_unique<Impl>(std::move(longer), more, scales, std::move(before));
  made->optimiser = optimiser;
  made->random = random;
  discretise(made->map, made->optimiser.parameters().data(), made->modes.data());
  made->best = best;
  made->state = state;
  made->state.best_esr = HUGE_VAL;
  made->curve = curve;
  made->elapsed_before_s = elapsed_before_s;
  made->set_segment(made->due_segment());
  made->next_look = more.seconds > 0 ? elapsed_before_s + kFirstLookSeconds : state.frames + kFirstLookFrames;
  return made;
}

void Trainer::Impl::advance_to(double frames, const std::function<bool()>& stop) {
  halt = frames;
  do advance(stop);
  while (!stopped && state.frames < halt && progress() < 1);
  halt = HUGE_VAL;
}

double Trainer::Impl::elapsed_s() const {
  return elapsed_before_s + (since ? std::chrono::duration<double>(Clock::now() - *since).count() : 0);
}

double Trainer::Impl::progress() const {
  return std::min(1.0, settings.seconds > 0 ? elapsed_s() / settings.seconds : state.frames / settings.frames);
}

// A hash of everything that must be equal for a saved training to continue.
uint64_t Trainer::Impl::fingerprint_of_all() const {
  ArchiveWriter writer;
  Shape shape = settings.shape;
  shape.slow_features = shape.filter_modes = 0;  // these are determined during the training
  writer(shape), writer(settings.sample_rate_hz), writer(settings.threads), writer(settings.seed);
  writer(settings.slowest_s), writer(settings.aliasing_weight), writer(settings.stft_weight), writer(kernels->lanes);
  writer(settings.selective);
  for (const Take& take : takes) writer(take.dry), writer(take.wet), writer(take.knobs);
  const std::string bytes = writer.take();
  return XXH3_64bits(bytes.data(), bytes.size());
}

template <class Archive>
void Trainer::Impl::visit(Archive& archive) {
  size_t frames = segment_frames;
  archive(frames);
  if (frames != segment_frames) set_segment(frames);
  archive(random), archive(best), archive(walks), archive(state), archive(next_look), archive(elapsed_before_s);
  archive.list(curve);
  optimiser.visit(archive);
  for (Worker& worker : workers) {
    archive(worker.tone);
    for (LaneGroup<float>& group : worker.groups) {
      archive(group.state()), archive(group.derivative());
      archive(group.filter_state()), archive(group.filter_derivative());
      if (group.slow()) archive(group.slow()->state());
    }
  }
}

Trainer::Trainer(std::vector<Take> takes, const TrainingSettings& settings)
    : impl_(std::make_unique<Impl>(std::move(takes), settings)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

// All networks start anew, because a network that has learned without slow path or filter would have to unlearn. If the
// trial is stopped, nothing changes. The worth of some slow paths shows late; that of a filter does not.
void Trainer::try_shapes(const std::function<bool()>& stop) {
  const bool again = impl_->state.tried_again;
  double all_s = impl_->elapsed_before_s;
  // A network that has learned for longer is no fair comparison for a young one.
  const bool young = impl_->state.frames < kYoung * impl_->trial_frames();
  const double until = young ? impl_->state.frames : impl_->trial_frames();
  const auto tried = [&](size_t slow_features, size_t filter_modes) {
    std::unique_ptr<Impl> made = impl_->of_shape(slow_features, filter_modes);
    made->advance_to(until, stop);
    all_s += made->elapsed_before_s;
    return made;
  };
  double without = impl_->state.held_out_esr, with_filter = impl_->state.esr_with_filter;
  if (!young) {
    const std::unique_ptr<Impl> plain = tried(0, 0);
    if (plain->stopped) return;
    without = plain->state.held_out_esr;
  }
  std::array<std::unique_ptr<Impl>, 2> rivals;
  rivals[0] = tried(kSlowFeatures, 0);
  if (rivals[0]->stopped) return;
  const double with_slow = rivals[0]->state.held_out_esr;
  if (!again) {
    rivals[1] = tried(0, kFilterModes);
    if (rivals[1]->stopped) return;
    with_filter = rivals[1]->state.held_out_esr;
  }
  double least = kWorth * without;
  bool chosen = false;
  for (std::unique_ptr<Impl>& rival : rivals) {
    if (!rival || rival->state.held_out_esr >= least) continue;
    least = rival->state.held_out_esr, impl_ = std::move(rival), chosen = true;
  }
  TrainingState& state = impl_->state;
  impl_->elapsed_before_s = state.elapsed_s = all_s;
  state.tried_again = again || (!chosen && with_slow < kUnclear * without && impl_->affords_late_trial());
  state.shapes_tried = again || !state.tried_again;
  state.improved = true;
  state.esr_with_slow = with_slow, state.esr_with_filter = with_filter, state.esr_without = without;
}

void Trainer::advance(const std::function<bool()>& stop) {
  if (impl_->trial_is_due()) return try_shapes(stop);
  impl_->advance(stop);
}
void Trainer::grow(std::vector<Take> takes, double frames, double seconds, double slow_trial_frames) {
  impl_ = impl_->with_more(std::move(takes), frames, seconds, slow_trial_frames);
}
bool Trainer::done() const { return impl_->progress() >= 1; }
const TrainingState& Trainer::state() const { return impl_->state; }
const ParameterMap& Trainer::map() const { return impl_->map; }
const Scales& Trainer::scales() const { return impl_->scales; }
const std::vector<float>& Trainer::best() const { return impl_->best; }
const std::vector<CurvePoint>& Trainer::curve() const { return impl_->curve; }
const std::vector<std::vector<Span>>& Trainer::held_out() const { return impl_->hidden; }

std::vector<double> Trainer::esr(std::vector<Take> takes) const {
  apply_scales(takes, impl_->scales);
  std::vector<Passage> whole;
  for (size_t i = 0; i < takes.size(); ++i) whole.push_back({i, 0, {0, takes[i].dry.size()}});
  std::vector<double> esr;
  for (const ErrorAndEnergy& result : impl_->evaluation.run(impl_->best, takes, impl_->hops_of(takes), whole)) {
    esr.push_back(result.error / std::max(result.energy, 1e-30));
  }
  return esr;
}

std::string Trainer::save() const {
  ArchiveWriter writer;
  writer(impl_->fingerprint), writer(impl_->map.shape);
  impl_->visit(writer);
  std::string bytes = writer.take();
  const uint64_t sum = XXH3_64bits(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return bytes;
}

Shape Trainer::saved_shape(std::string_view saved) {
  uint64_t fingerprint = 0;
  Shape shape;
  ArchiveReader reader(undamaged(saved));
  reader(fingerprint), reader(shape);
  return shape;
}

void Trainer::resume(std::string_view saved) {
  uint64_t fingerprint = 0;
  Shape shape;
  ArchiveReader reader(undamaged(saved));
  reader(fingerprint), reader(shape);
  if (fingerprint != impl_->fingerprint) throw Error("the saved training is of other recordings, or of other settings");
  if (shape != impl_->map.shape) impl_ = impl_->of_shape(shape.slow_features, shape.filter_modes);
  impl_->visit(reader);
  discretise(impl_->map, impl_->optimiser.parameters().data(), impl_->modes.data());
}

}  // namespace coil::capture
