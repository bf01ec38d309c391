// Rack: loading (any thread but the audio thread), and the signal chain (audio thread).
#include "dsp/rack.h"

#include <algorithm>
#include <cmath>

#include "dsp/calibration.h"
#include "dsp/decibels.h"
#include "dsp/denormals.h"
#include "dsp/loudness.h"
#include "dsp/sample_faults.h"
#include "base/error.h"

namespace coil::dsp {
namespace {

constexpr int kMaxPieceFrames = 256;  // small enough for the buffers to fit the L1 cache

float finite_or(float value, float otherwise) { return std::isfinite(value) ? value : otherwise; }
float gain_of(float db) { return db_to_gain(std::clamp(finite_or(db, 0), -kMaxGainDb, kMaxGainDb)); }

void raise(std::atomic<float>& meter, float peak) {
  float seen = meter.load(std::memory_order_relaxed);
  while (peak > seen && !meter.compare_exchange_weak(seen, peak, std::memory_order_relaxed)) {
  }
}

RackControls control_values(const ssm::Model* model, std::span<const float> given) {
  RackControls values{};
  const size_t count = model ? std::min(model->card().controls.size(), values.size()) : 0;
  for (size_t i = 0; i < count; ++i)
    values[i] = i < given.size() ? given[i] : static_cast<float>(model->card().controls[i].default_value);
  return values;
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

Rack::Rack() = default;
Rack::~Rack() = default;

// -- loading

Rack::Prepared Rack::make(std::shared_ptr<const ssm::Model> model, std::span<const float> given, RateMode mode) const {
  if (model) ModelProcessor{model};  // throws if the model is not for audio
  Prepared prepared;
  prepared.normalisation_db = model ? normalisation_gain_db(model) : 0;
  prepared.controls = control_values(model.get(), given);
  prepared.rate_mode = mode;
  prepared.model = std::move(model);
  ProcessSpec spec;
  {
    const std::lock_guard lock(mutex_);
    spec = spec_;
    prepared.made_for = specs_;
  }
  if (spec.sample_rate_hz > 0)
    prepared.slot_model = std::make_unique<SlotModel>(prepared.model, spec, prepared.controls,
                                                      prepared.normalisation_db, prepared.rate_mode);
  return prepared;
}

bool Rack::commit(std::array<std::optional<Prepared>, kSlots>& slots, std::optional<RateMode> mode) {
  const std::lock_guard lock(mutex_);
  const RateMode wanted = mode.value_or(rate_mode_);
  for (const auto& prepared : slots)
    if (prepared && (prepared->made_for != specs_ || prepared->rate_mode != wanted)) return false;
  rate_mode_ = wanted;
  ++changes_;
  for (size_t at = 0; at < slots.size(); ++at) {
    if (!slots[at]) continue;
    Prepared& prepared = *slots[at];
    Loaded& loaded = loaded_[at];
    std::swap(loaded.model, prepared.model);
    loaded.normalisation_db = prepared.normalisation_db;
    loaded.latency_frames = prepared.slot_model ? prepared.slot_model->latency_frames() : 0;
    loaded.problem.clear();
    publish_latency();
    ++load_version_[at];
    for (size_t i = 0; i < prepared.controls.size(); ++i) settings_.controls[at][i] = prepared.controls[i];
    if (prepared.slot_model) prepared.slot_model = slots_[at].post(std::move(prepared.slot_model));
    ++load_version_[at];
  }
  return true;
}

void Rack::load(int slot, std::shared_ptr<const ssm::Model> model, std::span<const float> controls) {
  for (bool done = false; !done;) {
    std::array<std::optional<Prepared>, kSlots> slots;
    slots[static_cast<size_t>(slot)] = make(model, controls, rate_mode());
    done = commit(slots);
  }
}

std::shared_ptr<const ssm::Model> Rack::model(int slot) const {
  const std::lock_guard lock(mutex_);
  return loaded_[static_cast<size_t>(slot)].model;
}

void Rack::set_rate_mode(RateMode mode) {
  const std::lock_guard lock(mutex_);
  rate_mode_ = mode;
  ++changes_;
}

RateMode Rack::rate_mode() const {
  const std::lock_guard lock(mutex_);
  return rate_mode_;
}

std::string Rack::problem(int slot) const {
  const std::lock_guard lock(mutex_);
  return loaded_[static_cast<size_t>(slot)].problem;
}

Rack::Playing Rack::playing() const {
  const std::lock_guard lock(mutex_);
  return {loaded_, rate_mode_, tail_, changes_};
}

std::unique_ptr<ChainSlot::Placed> Rack::make_tail(const std::function<Chain()>& make, const ProcessSpec& spec) {
  auto placed = std::make_unique<ChainSlot::Placed>(ChainSlot::Placed{make ? make() : Chain({})});
  placed->chain.prepare(spec);
  if (placed->chain.latency_frames() != 0)
    throw Error("the stages after the models must not have latency; they have " +
                std::to_string(placed->chain.latency_frames()) + " frames");
  return placed;
}

void Rack::load_tail(std::function<Chain()> make) {
  for (;;) {
    ProcessSpec spec;
    uint64_t made_for = 0;
    {
      const std::lock_guard lock(mutex_);
      spec = spec_;
      made_for = specs_;
    }
    std::unique_ptr<ChainSlot::Placed> placed = spec.sample_rate_hz > 0 ? make_tail(make, spec) : nullptr;
    const std::lock_guard lock(mutex_);
    if (made_for != specs_) continue;
    tail_ = std::move(make);
    ++changes_;
    if (placed) placed = tail_slot_.post(std::move(placed));
    return;
  }
}

void Rack::collect() {
  for (ModelSlot& slot : slots_) slot.collect();
  tail_slot_.collect();
}

void Rack::publish_latency() {
  int most = 0;
  for (const Loaded& loaded : loaded_) most = std::max(most, loaded.latency_frames);
  latency_frames_ = most;
}

RackControls Rack::controls(int slot) const noexcept {
  RackControls values;
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = settings_.controls[static_cast<size_t>(slot)][i].load(std::memory_order_relaxed);
  return values;
}

void Rack::prepare(const ProcessSpec& spec) {
  if (spec.channels != 1 && spec.channels != 2) {
    throw Error("the rack supports 1 or 2 channels, not " + std::to_string(spec.channels));
  }
  if (!(spec.sample_rate_hz > 0))
    throw Error("the rack needs a sample rate above 0, not " + std::to_string(spec.sample_rate_hz));
  const ProcessSpec next{spec.sample_rate_hz, std::clamp(spec.max_block_frames, 1, kMaxPieceFrames), spec.channels};

  // Make them without the lock, because the message thread must not wait for it. If a load comes in between, make them
  // again.
  std::unique_lock lock(mutex_, std::defer_lock);
  std::array<std::unique_ptr<SlotModel>, kSlots> slot_models;
  std::unique_ptr<ChainSlot::Placed> tail;
  Playing now;
  do {
    if (lock.owns_lock()) lock.unlock();
    now = playing();
    for (int slot = 0; slot < kSlots; ++slot) {
      const size_t at = static_cast<size_t>(slot);
      Loaded& loaded = now.loaded[at];
      loaded.problem.clear();
      try {
        slot_models[at] =
            std::make_unique<SlotModel>(loaded.model, next, controls(slot), loaded.normalisation_db, now.rate_mode);
      } catch (const Error& error) {
        loaded.problem = error.what();
        slot_models[at] = std::make_unique<SlotModel>(nullptr, next, controls(slot), 0);
      }
      loaded.latency_frames = slot_models[at]->latency_frames();
    }
    tail = make_tail(now.tail, next);
    lock.lock();
  } while (now.changes != changes_);

  spec_ = next;
  ++specs_;
  max_piece_frames_ = next.max_block_frames;
  loaded_ = std::move(now.loaded);
  for (size_t at = 0; at < slot_models.size(); ++at)
    slots_[at].prepare(std::move(slot_models[at]), spec_, max_piece_frames_);
  tail_slot_.prepare(std::move(tail), spec_, max_piece_frames_);
  equaliser_.prepare(spec_);
  publish_latency();

  const auto frames = [&](float ms) { return static_cast<int>(ms * spec.sample_rate_hz / 1000); };
  for (Ramp* ramp : {&input_gain_, &output_gain_, &dryness_, &bypass_, &mute_, &from_left_, &from_right_})
    *ramp = Ramp(0, frames(kRampMs));
  active_ = Ramp(0, frames(kFadeMs));
  gate_.prepare(spec.sample_rate_hz);
  dry_delays_.assign(static_cast<size_t>(spec.channels), DelayLine(frames(SlotModel::kMaxLatencyMs), frames(kFadeMs)));
  for (AudioBuffer* buffer : {&dry_, &input_, &other_slot_}) *buffer = AudioBuffer(spec.channels, max_piece_frames_);
  for (AudioBuffer* buffer : {&first_, &key_}) *buffer = AudioBuffer(1, max_piece_frames_);
  input_faults_ = restarts_ = model_frames_ = 0;
  watched_layers_ = 0;
  frames_to_watch_ = 0;
  fresh_ = true;
}

// -- the signal chain

void Rack::reset() noexcept {
  for (ModelSlot& slot : slots_) slot.end_fade();
  tail_slot_.reset();
  equaliser_.reset();
  for (DelayLine& delay : dry_delays_) delay.reset();
  gate_.reset();
  fresh_ = true;
}

void Rack::process(AudioBlock block) noexcept {
  if (block.frames == 0) return;
  const ScopedFlushDenormals flush;
  read_settings();
  read_slots();
  tail_slot_.take(fresh_);
  tail_slot_.set_on(settings_.tail, fresh_);
  fresh_ = false;
  std::array<float*, 2> channels{};
  for (int begin = 0; begin < block.frames; begin += max_piece_frames_) {
    for (int c = 0; c < block.channel_count; ++c) channels[static_cast<size_t>(c)] = block.channels[c] + begin;
    process_piece({channels.data(), block.channel_count, std::min(max_piece_frames_, block.frames - begin)});
  }
  SlotModel::Counts counts;
  for (ModelSlot& slot : slots_) counts += slot.take_counts();
  restarts_ += counts.restarts;
  model_frames_ += counts.frames_run;
  meters_.gate_gain.store(gate_.gain(), std::memory_order_relaxed);
}

void Rack::aim(Ramp& ramp, float target) const noexcept {
  if (fresh_) {
    ramp.jump(target);
  } else {
    ramp.aim(target);
  }
}

void Rack::read_settings() noexcept {
  aim(input_gain_, gain_of(settings_.input_db));
  aim(output_gain_, gain_of(settings_.output_db));
  aim(dryness_, 1 - std::clamp(finite_or(settings_.mix, 1), 0.0f, 1.0f));
  aim(bypass_, settings_.bypass ? 1.0f : 0.0f);
  aim(mute_, settings_.mute ? 0.0f : 1.0f);
  gate_.set_threshold_db(finite_or(settings_.gate_db, kGateOffDb));

  channel_mode_ = spec_.channels == 2 ? settings_.channels.load() : ChannelMode::each;
  const bool both = channel_mode_ == ChannelMode::sum, right = channel_mode_ == ChannelMode::right;
  aim(from_left_, both ? 0.5f : right ? 0.0f : 1.0f);
  aim(from_right_, both ? 0.5f : right ? 1.0f : 0.0f);
  slot_settings_.joined = channel_mode_ != ChannelMode::each;
  slot_settings_.normalise = settings_.normalise;
  slot_settings_.calibrated = settings_.calibrated;
  slot_settings_.input_dbu = std::clamp(finite_or(settings_.input_dbu, 0), kMinFullScaleDbu, kMaxFullScaleDbu);

  const EqualiserSettings wanted = settings_.equaliser.on ? settings_.equaliser.settings() : EqualiserSettings{};
  if (wanted != equaliser_settings_) {
    equaliser_settings_ = wanted;
    equaliser_.set(wanted);
  }
  if (fresh_) equaliser_.reset();
}

void Rack::read_slots() noexcept {
  std::array<bool, kSlots> starts{}, controls_count{};
  std::array<RackControls, kSlots> values;
  int latency = 0;
  for (int slot = 0; slot < kSlots; ++slot) {
    const size_t at = static_cast<size_t>(slot);
    const uint32_t version = load_version_[at];
    starts[at] = slots_[at].take(runs(slot) && !fresh_) || fresh_;
    values[at] = controls(slot);
    controls_count[at] = version % 2 == 0 && version == load_version_[at] && !slots_[at].waiting();
    latency = std::max(latency, slots_[at].slot_model().latency_frames());
  }
  if (slot_settings_.latency_frames != latency || fresh_) {
    slot_settings_.latency_frames = latency;
    for (DelayLine& delay : dry_delays_) delay.set_delay(latency, fresh_);
  }

  const int wanted = std::clamp(settings_.active_slot.load(), 0, kSlots - 1);
  if (fresh_) {
    active_.jump(static_cast<float>(wanted));
  } else if (active_.target() != static_cast<float>(wanted)) {
    const bool rested = !runs(wanted);
    starts[static_cast<size_t>(wanted)] |= rested;
    active_.aim(static_cast<float>(wanted),
                rested ? slots_[static_cast<size_t>(wanted)].slot_model().warm_up_frames(latency) : 0);
  }

  for (int slot = 0; slot < kSlots; ++slot) {
    const size_t at = static_cast<size_t>(slot);
    if (!runs(slot)) continue;
    if (starts[at]) {
      slots_[at].start(slot_settings_);
    } else {
      slots_[at].follow(slot_settings_);
    }
    if (controls_count[at]) slots_[at].slot_model().set_controls(values[at]);
  }
}

void Rack::process_piece(AudioBlock block) noexcept {
  const int n = block.frames, channels = block.channel_count;
  const AudioBlock dry = dry_.block(n), input = input_.block(n);
  InputFaults faults;
  for (int c = 0; c < channels; ++c) {
    const std::span<float> heard = block.channel(c);
    drop_faults(heard, faults);
    std::ranges::copy(heard, dry.channels[c]);
    std::ranges::copy(heard, input.channels[c]);
    dry_delays_[static_cast<size_t>(c)].process(dry.channel(c));
    multiply(input.channel(c), input_gain_);
    const float loudest = peak(input.channel(c));
    raise(meters_.input_peak[static_cast<size_t>(c)], loudest);
    if (loudest > kLoudest) limit(input.channel(c));
  }
  if (faults.total() > 0) input_faults_ += faults.total();
  input_gain_.advance(n);

  SlotInput slot_input{input, input.channel(0)};
  if (channels == 2 && !(from_left_.rests_at(1) && from_right_.rests_at(0))) {
    const std::span<float> first = first_.block(n).channel(0);
    for (int i = 0; i < n; ++i) {
      first[static_cast<size_t>(i)] =
          from_left_.at(i) * input.channels[0][i] + from_right_.at(i) * input.channels[1][i];
    }
    slot_input.first = first;
  }
  from_left_.advance(n);
  from_right_.advance(n);
  if (frames_to_watch_ > 0) {
    play_slots(slot_input, block);
  } else {
    watch_slot(slot_input, block);
    frames_to_watch_ += static_cast<int>(spec_.sample_rate_hz) / kWatchHz;
  }
  frames_to_watch_ -= n;

  if (!gate_.idle()) gate(block, dry);
  tail_slot_.process(block);
  equaliser_.process(block);
  for (int c = 0; c < channels; ++c) {
    cross_fade(block.channel(c), dry.channel(c), dryness_);
    multiply(block.channel(c), output_gain_);
    cross_fade(block.channel(c), dry.channel(c), bypass_);
    multiply(block.channel(c), mute_);
    raise(meters_.output_peak[static_cast<size_t>(c)], peak(block.channel(c)));
  }
  for (Ramp* ramp : {&dryness_, &output_gain_, &bypass_, &mute_}) ramp->advance(n);
}

void Rack::watch_slot(const SlotInput& in, AudioBlock out) noexcept {
  SlotModel& slot_model = slots_[active_.target() == 0 ? 0 : 1].slot_model();
  const size_t layers = slot_model.watch(activity_);
  play_slots(in, out);
  slot_model.watch({});
  for (size_t i = 0; i < layers; ++i) {
    watched_[i].energy.store(activity_[i].energy, std::memory_order_relaxed);
    watched_[i].dt.store(activity_[i].dt, std::memory_order_relaxed);
  }
  watched_layers_.store(layers, std::memory_order_release);
}

size_t Rack::observe(std::span<ssm::LayerActivity> out) const noexcept {
  const size_t layers = std::min(out.size(), watched_layers_.load(std::memory_order_acquire));
  for (size_t i = 0; i < layers; ++i) {
    out[i] = {watched_[i].energy.load(std::memory_order_relaxed), watched_[i].dt.load(std::memory_order_relaxed)};
  }
  return layers;
}

void Rack::play_slots(const SlotInput& in, AudioBlock out) noexcept {
  if (!active_.moving()) {
    slots_[active_.target() == 0 ? 0 : 1].process(in, out);
    return;
  }
  const AudioBlock other = other_slot_.block(out.frames);
  slots_[0].process(in, out);
  slots_[1].process(in, other);
  for (int c = 0; c < out.channel_count; ++c) cross_fade(out.channel(c), other.channel(c), active_);
  active_.advance(out.frames);
}

// The key comes from the delayed dry signal. It equals the model's input, except where the input gain has changed
// since.
void Rack::gate(AudioBlock wet, AudioBlock dry) noexcept {
  const std::span<float> key = key_.block(wet.frames).channel(0);
  const float gain = input_gain_.target(), left = gain * from_left_.target(), right = gain * from_right_.target();
  const float* const first = dry.channels[0];
  const float* const last = dry.channels[dry.channel_count - 1];
  const bool each = channel_mode_ == ChannelMode::each;
  for (int i = 0; i < wet.frames; ++i) {
    key[static_cast<size_t>(i)] =
        each ? gain * std::max(std::fabs(first[i]), std::fabs(last[i])) : std::fabs(left * first[i] + right * last[i]);
  }
  gate_.process(key);
  for (int c = 0; c < wet.channel_count; ++c) {
    for (int i = 0; i < wet.frames; ++i) wet.channels[c][i] *= key[static_cast<size_t>(i)];
  }
}

}  // namespace coil::dsp
