// DualModelStage: loading (any thread but the audio thread), then slots and gate (audio thread).
#include "dsp/dual_model_stage.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "dsp/finite.h"
#include "dsp/loudness.h"
#include "dsp/model_processor.h"
#include "dsp/sample_faults.h"
#include "base/error.h"

namespace coil::dsp {
namespace {

RackControls control_values(const ssm::Model* model, std::span<const float> given) {
  RackControls values{};
  const size_t count = model ? std::min(model->card().controls.size(), values.size()) : 0;
  for (size_t i = 0; i < count; ++i)
    values[i] = i < given.size() ? given[i] : static_cast<float>(model->card().controls[i].default_value);
  return values;
}

}  // namespace

// -- loading

DualModelStage::Prepared DualModelStage::make(std::shared_ptr<const ssm::Model> model, std::span<const float> given,
                                              RateMode mode) const {
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

bool DualModelStage::commit(std::array<std::optional<Prepared>, kSlots>& slots, std::optional<RateMode> mode) {
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

std::shared_ptr<const ssm::Model> DualModelStage::model(int slot) const {
  const std::lock_guard lock(mutex_);
  return loaded_[static_cast<size_t>(slot)].model;
}

void DualModelStage::set_rate_mode(RateMode mode) {
  const std::lock_guard lock(mutex_);
  rate_mode_ = mode;
  ++changes_;
}

RateMode DualModelStage::rate_mode() const {
  const std::lock_guard lock(mutex_);
  return rate_mode_;
}

std::string DualModelStage::problem(int slot) const {
  const std::lock_guard lock(mutex_);
  return loaded_[static_cast<size_t>(slot)].problem;
}

DualModelStage::Playing DualModelStage::playing() const {
  const std::lock_guard lock(mutex_);
  return {loaded_, rate_mode_, changes_};
}

void DualModelStage::collect() {
  for (ModelSlot& slot : slots_) slot.collect();
}

void DualModelStage::publish_latency() {
  int most = 0;
  for (const Loaded& loaded : loaded_) most = std::max(most, loaded.latency_frames);
  latency_frames_ = most;
}

RackControls DualModelStage::controls(int slot) const noexcept {
  RackControls values;
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = settings_.controls[static_cast<size_t>(slot)][i].load(std::memory_order_relaxed);
  return values;
}

void DualModelStage::prepare(const ProcessSpec& spec) {
  // Make them without the lock, because the message thread must not wait for it. If a load comes in between, make them
  // again.
  std::unique_lock lock(mutex_, std::defer_lock);
  std::array<std::unique_ptr<SlotModel>, kSlots> slot_models;
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
            std::make_unique<SlotModel>(loaded.model, spec, controls(slot), loaded.normalisation_db, now.rate_mode);
      } catch (const Error& error) {
        loaded.problem = error.what();
        slot_models[at] = std::make_unique<SlotModel>(nullptr, spec, controls(slot), 0);
      }
      loaded.latency_frames = slot_models[at]->latency_frames();
    }
    lock.lock();
  } while (now.changes != changes_);

  spec_ = spec;
  ++specs_;
  max_piece_frames_ = spec.max_block_frames;
  loaded_ = std::move(now.loaded);
  for (size_t at = 0; at < slot_models.size(); ++at)
    slots_[at].prepare(std::move(slot_models[at]), spec_, max_piece_frames_);
  publish_latency();

  const auto frames = [&](float ms) { return static_cast<int>(ms * spec.sample_rate_hz / 1000); };
  max_latency_frames_ = frames(SlotModel::kMaxLatencyMs);
  for (Ramp* ramp : {&from_left_, &from_right_}) *ramp = Ramp(0, frames(kRampMs));
  active_ = Ramp(0, frames(kFadeMs));
  gate_.prepare(spec.sample_rate_hz);
  key_delay_ = DelayLine(max_latency_frames_, frames(kFadeMs));
  for (AudioBuffer* buffer : {&input_, &other_slot_}) *buffer = AudioBuffer(spec.channels, max_piece_frames_);
  for (AudioBuffer* buffer : {&first_, &key_}) *buffer = AudioBuffer(1, max_piece_frames_);
  restarts_ = model_frames_ = 0;
  watched_layers_ = 0;
  frames_to_watch_ = 0;
  fresh_ = true;
}

// -- the audio thread

void DualModelStage::reset() noexcept {
  for (ModelSlot& slot : slots_) slot.end_fade();
  gate_.reset();
  key_delay_.reset();
  fresh_ = true;
}

std::optional<float> DualModelStage::follow_level(std::optional<float> full_scale_dbu) noexcept {
  slot_settings_.full_scale_dbu = full_scale_dbu;
  if (!full_scale_dbu) return std::nullopt;
  const size_t heard = static_cast<size_t>(std::clamp(settings_.active_slot.load(), 0, kSlots - 1));
  return slots_[heard].slot_model().output_full_scale_dbu(*full_scale_dbu, settings_.normalise);
}

void DualModelStage::process(AudioBlock block) noexcept {
  if (block.frames == 0) return;
  read_settings();
  read_slots();
  fresh_ = false;
  in_pieces(block, max_piece_frames_, [this](AudioBlock piece) { process_piece(piece); });
  SlotModel::Counts counts;
  for (ModelSlot& slot : slots_) counts += slot.take_counts();
  restarts_ += counts.restarts;
  model_frames_ += counts.frames_run;
  meters_.gate_gain.store(gate_.gain(), std::memory_order_relaxed);
}

void DualModelStage::read_settings() noexcept {
  gate_.set_threshold_db(finite_or(settings_.gate_db, kGateOffDb));
  channel_mode_ = spec_.channels == 2 ? settings_.channels.load() : ChannelMode::each;
  const bool both = channel_mode_ == ChannelMode::sum, right = channel_mode_ == ChannelMode::right;
  from_left_.set(both ? 0.5f : right ? 0.0f : 1.0f, fresh_);
  from_right_.set(both ? 0.5f : right ? 1.0f : 0.0f, fresh_);
  slot_settings_.joined = channel_mode_ != ChannelMode::each;
  slot_settings_.normalise = settings_.normalise;
}

void DualModelStage::read_slots() noexcept {
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
  slot_settings_.latency_frames = latency;
  key_delay_.set_delay(latency, fresh_);

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

void DualModelStage::process_piece(AudioBlock block) noexcept {
  const int n = block.frames, channels = block.channel_count;
  const AudioBlock input = input_.block(n);
  for (int c = 0; c < channels; ++c) std::ranges::copy(block.channel(c), input.channels[c]);
  const bool gates = !gate_.idle();
  if (gates || slot_settings_.latency_frames > 0) listen(input);

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
  if (gates) gate(block);
}

void DualModelStage::watch_slot(const SlotInput& in, AudioBlock out) noexcept {
  SlotModel& slot_model = slots_[static_cast<size_t>(heard())].slot_model();
  const size_t layers = slot_model.watch(activity_);
  play_slots(in, out);
  slot_model.watch({});
  for (size_t i = 0; i < layers; ++i) {
    watched_[i].energy.store(activity_[i].energy, std::memory_order_relaxed);
    watched_[i].dt.store(activity_[i].dt, std::memory_order_relaxed);
  }
  watched_layers_.store(layers, std::memory_order_release);
}

size_t DualModelStage::observe(std::span<ssm::LayerActivity> out) const noexcept {
  const size_t layers = std::min(out.size(), watched_layers_.load(std::memory_order_acquire));
  for (size_t i = 0; i < layers; ++i) {
    out[i] = {watched_[i].energy.load(std::memory_order_relaxed), watched_[i].dt.load(std::memory_order_relaxed)};
  }
  return layers;
}

void DualModelStage::play_slots(const SlotInput& in, AudioBlock out) noexcept {
  if (!active_.moving()) {
    slots_[static_cast<size_t>(heard())].process(in, out);
    return;
  }
  const AudioBlock other = other_slot_.block(out.frames);
  slots_[0].process(in, out);
  slots_[1].process(in, other);
  for (int c = 0; c < out.channel_count; ++c) cross_fade(out.channel(c), other.channel(c), active_);
  active_.advance(out.frames);
}

// Keeps the magnitudes of the model's input, delayed to match its output.
void DualModelStage::listen(AudioBlock in) noexcept {
  const std::span<float> key = key_.block(in.frames).channel(0);
  const float left = from_left_.target(), right = from_right_.target();
  const float* const first = in.channels[0];
  const float* const last = in.channels[in.channel_count - 1];
  const bool each = channel_mode_ == ChannelMode::each;
  for (int i = 0; i < in.frames; ++i) {
    key[static_cast<size_t>(i)] =
        each ? std::max(std::fabs(first[i]), std::fabs(last[i])) : std::fabs(left * first[i] + right * last[i]);
  }
  key_delay_.process(key);
}

void DualModelStage::gate(AudioBlock out) noexcept {
  const std::span<float> key = key_.block(out.frames).channel(0);
  gate_.process(key);
  for (int c = 0; c < out.channel_count; ++c) {
    for (int i = 0; i < out.frames; ++i) out.channels[c][i] *= key[static_cast<size_t>(i)];
  }
}

}  // namespace coil::dsp
