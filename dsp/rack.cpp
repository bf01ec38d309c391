// Rack: its list of stages (any thread but the audio thread), and what is before and after them (audio thread).
#include "dsp/rack.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "dsp/calibration.h"
#include "dsp/decibels.h"
#include "dsp/denormals.h"
#include "dsp/finite.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {
namespace {

float gain_of(float db) { return db_to_gain(std::clamp(finite_or(db, 0), -kMaxGainDb, kMaxGainDb)); }

void raise(std::atomic<float>& meter, float peak) {
  float seen = meter.load(std::memory_order_relaxed);
  while (peak > seen && !meter.compare_exchange_weak(seen, peak, std::memory_order_relaxed)) {
  }
}

// The rack's equaliser: follows the settings.
class EqualiserStage final : public AudioProcessor {
 public:
  explicit EqualiserStage(const RackEqualiser& settings) : settings_(settings) {}

  void prepare(const ProcessSpec& spec) override {
    equaliser_.prepare(spec);
    fresh_ = true;
  }
  void reset() noexcept override {
    equaliser_.reset();
    fresh_ = true;
  }
  void process(AudioBlock block) noexcept override {
    if (const EqualiserSettings wanted = settings_.settings(); wanted != now_) {
      now_ = wanted;
      equaliser_.set(wanted);
      if (fresh_) equaliser_.reset();
    }
    fresh_ = false;
    equaliser_.process(block);
  }
  int latency_frames() const noexcept override { return 0; }

 private:
  const RackEqualiser& settings_;
  Equaliser equaliser_;
  EqualiserSettings now_;
  bool fresh_ = true;
};

// The settings belong to the rack.
std::shared_ptr<StageSettings> borrowed(StageSettings& settings) { return {std::shared_ptr<void>(), &settings}; }

// For each new stage, the number of the old one that goes on there, or -1: as many as possible that are the same and in
// the same order on either side of the models, which always go on.
std::vector<int> going_on(const std::vector<RackStage>& old, const std::vector<RackStage>& next) {
  const auto models = [](const std::vector<RackStage>& stages) {
    return static_cast<int>(std::ranges::find(stages, kModelsStage, &RackStage::number) - stages.begin());
  };
  std::vector<int> same(next.size(), -1), kept(next.size(), -1);
  const int old_models = models(old), next_models = models(next);
  for (size_t i = 0; i < next.size(); ++i) {
    const auto found = std::ranges::find_if(
        old, [&](const RackStage& each) { return each.number == next[i].number && each.version == next[i].version; });
    const int at = static_cast<int>(found - old.begin());
    if (found != old.end() && (at < old_models) == (static_cast<int>(i) < next_models)) same[i] = at;
  }
  same[static_cast<size_t>(next_models)] = old_models;
  // the longest rising subsequence; the models are in it, because what precedes them in one list does so in the other
  std::vector<int> length(next.size(), 0), before(next.size(), -1);
  int best = -1;
  for (int i = 0; i < static_cast<int>(next.size()); ++i) {
    const size_t at = static_cast<size_t>(i);
    if (same[at] < 0) continue;
    length[at] = 1;
    for (int j = 0; j < i; ++j) {
      const size_t earlier = static_cast<size_t>(j);
      if (same[earlier] < 0 || same[earlier] >= same[at] || length[earlier] + 1 <= length[at]) continue;
      length[at] = length[earlier] + 1;
      before[at] = j;
    }
    if (best < 0 || length[at] > length[static_cast<size_t>(best)]) best = i;
  }
  for (int i = best; i >= 0; i = before[static_cast<size_t>(i)])
    kept[static_cast<size_t>(i)] = same[static_cast<size_t>(i)];
  return kept;
}

void check(const std::vector<RackStage>& stages) {
  for (const RackStage& each : stages) {
    if (each.number < kEqualiserStage || each.number >= kFurtherStages)
      throw Error("a rack has no stage of the number " + std::to_string(each.number));
    if (std::ranges::count(stages, each.number, &RackStage::number) != 1)
      throw Error("a stage of a rack occurs twice: number " + std::to_string(each.number));
    if (each.number >= 0 && !each.make) throw Error("stage " + each.name + " cannot be made");
  }
  if (std::ranges::find(stages, kModelsStage, &RackStage::number) == stages.end())
    throw Error("a rack needs its stage of models");
}

}  // namespace

void RackEqualiser::set(const EqualiserSettings& settings) noexcept {
  for (size_t i = 0; i < bands.size(); ++i) {
    bands[i].hz = settings.bands[i].hz;
    bands[i].gain_db = settings.bands[i].gain_db;
    bands[i].q = settings.bands[i].q;
  }
  low_cut_hz = settings.low_cut_hz;
  high_cut_hz = settings.high_cut_hz;
}

EqualiserSettings RackEqualiser::settings() const noexcept {
  EqualiserSettings settings;
  for (size_t i = 0; i < bands.size(); ++i) {
    settings.bands[i].hz = bands[i].hz;
    settings.bands[i].gain_db = bands[i].gain_db;
    settings.bands[i].q = bands[i].q;
  }
  settings.low_cut_hz = low_cut_hz;
  settings.high_cut_hz = high_cut_hz;
  return settings;
}

Rack::Rack()
    : models_stage_(std::make_shared<ChainStage>(
          Stage{"models", std::make_unique<DualModelStage>(settings_, meters_), 1, false, borrowed(settings_.models)})),
      models_(static_cast<DualModelStage*>(&models_stage_->processor())) {
  for (const int number : {kModelsStage, kTailStage, kEqualiserStage})
    entries_.push_back({RackStage{number, {}, {}, 0}, {}, {}});
}

Rack::~Rack() = default;

// -- the list of stages

void Rack::load(int slot, std::shared_ptr<const ssm::Model> model, std::span<const float> controls) {
  for (bool done = false; !done;) {
    std::array<std::optional<Prepared>, kSlots> slots;
    slots[static_cast<size_t>(slot)] = make(model, controls, rate_mode());
    done = commit(slots);
  }
}

Chain::Stages Rack::stages_of(const Entries& entries) {
  Chain::Stages stages;
  for (const Entry& entry : entries) stages.push_back(entry.stage);
  return stages;
}

int Rack::latency_without_models(const Entries& entries) {
  int sum = 0;
  for (const Entry& entry : entries)
    if (entry.recipe.number != kModelsStage && entry.stage) sum += entry.stage->processor().latency_frames();
  return sum;
}

std::shared_ptr<ChainStage> Rack::make_stage(const RackStage& recipe, const ProcessSpec& spec) {
  const int number = recipe.number;
  if (number == kModelsStage) return models_stage_;
  StageSettings& settings = number == kTailStage        ? settings_.tail
                            : number == kEqualiserStage ? settings_.equaliser
                                                        : settings_.further[static_cast<size_t>(number)];
  std::unique_ptr<AudioProcessor> processor;
  if (number == kEqualiserStage) {
    processor = std::make_unique<EqualiserStage>(settings_.equaliser);
  } else {
    processor = recipe.make ? recipe.make() : std::make_unique<Chain>(std::vector<Stage>());
  }
  auto stage = std::make_shared<ChainStage>(Stage{recipe.name, std::move(processor), 1, false, borrowed(settings)});
  stage->prepare(Chain::stage_spec(spec));
  if (const int latency = stage->processor().latency_frames(); number == kTailStage && latency != 0)
    throw Error("the stages after the models must not have latency; they have " + std::to_string(latency) + " frames");
  return stage;
}

void Rack::make_missing(Entries& entries, const ProcessSpec& spec) {
  for (Entry& entry : entries)
    if (!entry.stage) entry.stage = make_stage(entry.recipe, spec);
  const int latency = latency_without_models(entries),
            most = static_cast<int>(kMaxFurtherLatencyMs * spec.sample_rate_hz / 1000);
  if (latency > most)
    throw Error("the stages come " + std::to_string(latency) + " frames late, live sound allows " +
                std::to_string(most));
}

void Rack::load_tail(std::function<Chain()> make) {
  RackStage tail{kTailStage, "tail", {}, 0};
  if (make) tail.make = [make = std::move(make)] { return std::make_unique<Chain>(make()); };
  set_entries(std::nullopt, std::move(tail));
}

void Rack::set_stages(std::vector<RackStage> stages) {
  check(stages);
  set_entries(std::move(stages), std::nullopt);
}

// Empty: the list, or the tail, stays as it is.
void Rack::set_entries(std::optional<std::vector<RackStage>> stages, std::optional<RackStage> new_tail) {
  for (;;) {
    Entries old, next;
    RackStage tail;
    ProcessSpec spec;
    uint64_t made_for = 0, seen = 0;
    {
      const std::lock_guard lock(mutex_);
      old = entries_;
      tail = tail_;
      spec = spec_;
      made_for = specs_;
      seen = changes_;
    }
    if (new_tail) {
      const uint64_t version = tail.version + 1;
      tail = *new_tail;
      tail.version = version;
    }
    std::vector<RackStage> before;
    for (const Entry& entry : old) before.push_back(entry.recipe);
    std::vector<RackStage> after = stages.value_or(before);
    std::ranges::replace(after, kTailStage, tail, &RackStage::number);
    const std::vector<int> kept = going_on(before, after);
    for (size_t i = 0; i < after.size(); ++i)
      next.push_back(kept[i] < 0 ? Entry{after[i], {}, {}} : old[static_cast<size_t>(kept[i])]);
    if (spec.sample_rate_hz > 0) make_missing(next, spec);

    std::unique_ptr<Chain::Order> unheard;  // freed, like the old list, after the lock is released
    const std::lock_guard lock(mutex_);
    if (made_for != specs_ || seen != changes_) continue;
    entries_.swap(next);
    std::swap(tail_, tail);
    ++changes_;
    if (spec.sample_rate_hz <= 0) return;
    further_latency_frames_ = latency_without_models(entries_);
    unheard = chain_.play(stages_of(entries_));
    return;
  }
}

std::vector<RackStage> Rack::stages() const {
  const std::lock_guard lock(mutex_);
  std::vector<RackStage> stages;
  for (const Entry& entry : entries_) stages.push_back(entry.recipe);
  return stages;
}

std::string Rack::stage_problem(int number) const {
  const std::lock_guard lock(mutex_);
  for (const Entry& entry : entries_)
    if (entry.recipe.number == number) return entry.problem;
  return {};
}

void Rack::collect() {
  models_->collect();
  chain_.collect();
}

void Rack::prepare(const ProcessSpec& spec) {
  if (spec.channels != 1 && spec.channels != 2) {
    throw Error("the rack supports 1 or 2 channels, not " + std::to_string(spec.channels));
  }
  if (!(spec.sample_rate_hz > 0))
    throw Error("the rack needs a sample rate above 0, not " + std::to_string(spec.sample_rate_hz));
  const ProcessSpec next = Chain::stage_spec(spec);
  models_stage_->prepare(next);

  // Prepares without the lock, because the message thread must not wait. After a change in between, it prepares again.
  Entries entries;
  std::unique_lock lock(mutex_, std::defer_lock);
  uint64_t seen = 0;
  do {
    if (lock.owns_lock()) lock.unlock();
    {
      const std::lock_guard reading(mutex_);
      entries = entries_;
      seen = changes_;
    }
    for (Entry& entry : entries) {
      entry.problem.clear();
      try {
        entry.stage = make_stage(entry.recipe, next);
      } catch (const Error& error) {
        if (entry.recipe.number < 0) throw;
        entry.problem = error.what();
        entry.stage = make_stage(
            {entry.recipe.number, entry.recipe.name, [] { return std::make_unique<Chain>(std::vector<Stage>()); }, 0},
            next);
      }
    }
    lock.lock();
  } while (seen != changes_);

  spec_ = next;
  ++specs_;
  max_piece_frames_ = next.max_block_frames;
  entries_.swap(entries);
  chain_.prepare(next, stages_of(entries_));
  further_latency_frames_ = latency_without_models(entries_);

  const auto frames = [&](float ms) { return static_cast<int>(ms * spec.sample_rate_hz / 1000); };
  for (Ramp* ramp : {&input_gain_, &output_gain_, &dryness_, &bypass_, &mute_}) *ramp = Ramp(0, frames(kRampMs));
  dry_delays_.assign(static_cast<size_t>(spec.channels),
                     DelayLine(frames(SlotModel::kMaxLatencyMs + kMaxFurtherLatencyMs), frames(kFadeMs)));
  dry_ = AudioBuffer(spec.channels, max_piece_frames_);
  input_faults_ = restarts_ = 0;
  fresh_ = true;
}

// -- the audio thread

void Rack::reset() noexcept {
  chain_.reset();
  for (DelayLine& delay : dry_delays_) delay.reset();
  fresh_ = true;
}

void Rack::process(AudioBlock block) noexcept {
  if (block.frames == 0) return;
  const ScopedFlushDenormals flush;
  read_settings();
  in_pieces(block, max_piece_frames_, [this](AudioBlock piece) { process_piece(piece); });
  restarts_ = chain_.restarts();
}

void Rack::read_settings() noexcept {
  input_gain_.set(gain_of(settings_.input_db), fresh_);
  output_gain_.set(gain_of(settings_.output_db), fresh_);
  dryness_.set(1 - std::clamp(finite_or(settings_.mix, 1), 0.0f, 1.0f), fresh_);
  bypass_.set(settings_.bypass ? 1.0f : 0.0f, fresh_);
  mute_.set(settings_.mute ? 0.0f : 1.0f, fresh_);
  const float dbu = std::clamp(finite_or(settings_.input_dbu, 0), kMinFullScaleDbu, kMaxFullScaleDbu);
  chain_.set_full_scale_dbu(settings_.calibrated ? std::optional(dbu) : std::nullopt);
}

void Rack::process_piece(AudioBlock block) noexcept {
  const AudioBlock dry = dry_.block(block.frames);
  InputFaults faults;
  for (int c = 0; c < block.channel_count; ++c) {
    const std::span<float> heard = block.channel(c);
    drop_faults(heard, faults);
    std::ranges::copy(heard, dry.channels[c]);
    multiply(heard, input_gain_);
    const float loudest = peak(heard);
    raise(meters_.input_peak[static_cast<size_t>(c)], loudest);
    if (loudest > kLoudest) limit(heard);
  }
  if (faults.total() > 0) input_faults_ += faults.total();

  chain_.process_clean(block);
  for (int c = 0; c < block.channel_count; ++c) {
    DelayLine& delay = dry_delays_[static_cast<size_t>(c)];
    delay.set_delay(chain_.current_latency_frames(), fresh_);
    delay.process(dry.channel(c));
    cross_fade(block.channel(c), dry.channel(c), dryness_);
    multiply(block.channel(c), output_gain_);
    cross_fade(block.channel(c), dry.channel(c), bypass_);
    multiply(block.channel(c), mute_);
    raise(meters_.output_peak[static_cast<size_t>(c)], peak(block.channel(c)));
  }
  for (Ramp* ramp : {&input_gain_, &dryness_, &output_gain_, &bypass_, &mute_}) ramp->advance(block.frames);
  fresh_ = false;
}

}  // namespace coil::dsp
