// SlotModel: one or two runs of the model, with gain and delay.
#include "dsp/slot_model.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "dsp/calibration.h"
#include "dsp/decibels.h"
#include "dsp/sample_faults.h"
#include "base/error.h"

namespace coil::dsp {
namespace {

constexpr float kSettleMs = 10;

int frames(float ms, const ProcessSpec& spec) { return static_cast<int>(ms * spec.sample_rate_hz / 1000); }

}  // namespace

SlotModel::SlotModel(std::shared_ptr<const ssm::Model> model, const ProcessSpec& spec, const RackControls& controls,
                     float normalisation_db, RateMode rate_mode)
    : model_(std::move(model)),
      controls_(controls),
      gain_(1, frames(kRampMs, spec)),
      input_gain_(1, frames(kRampMs, spec)),
      joined_(0, frames(kFadeMs, spec)) {
  if (model_) {
    const size_t count = model_->card().controls.size();
    if (count > kMaxRackControls) {
      throw Error(model_->source() + ": the model has " + std::to_string(count) + " controls, at most " +
                  std::to_string(kMaxRackControls) + " can be set here");
    }
    wide_ = model_->config().d_input > 1;
    const ProcessSpec each{spec.sample_rate_hz, spec.max_block_frames, wide_ ? spec.channels : 1};
    for (int lane = 0; lane < (wide_ ? 1 : spec.channels); ++lane)
      lanes_.emplace_back(model_, each, std::span(controls_).first(count), rate_mode);
    normalisation_gain_ = db_to_gain(normalisation_db);
    full_scale_dbu_ = input_full_scale_dbu(*model_);
    out_full_scale_dbu_ = dsp::output_full_scale_dbu(*model_);
    latency_frames_ = lanes_[0].latency_frames();
    if (const int most = frames(kMaxLatencyMs, spec); latency_frames_ > most) {
      throw Error(model_->source() + ": the model's output comes " + std::to_string(latency_frames_) +
                  " frames late, live sound allows " + std::to_string(most));
    }
  }
  settle_frames_ = model_ ? frames(kSettleMs, spec) : 0;
  alignment_.assign(static_cast<size_t>(spec.channels), DelayLine(frames(kMaxLatencyMs, spec), frames(kFadeMs, spec)));
}

void SlotModel::start(const SlotSettings& settings) noexcept {
  for (SleepingModel& lane : lanes_) lane.reset();
  for (DelayLine& delay : alignment_) {
    delay.set_delay(settings.latency_frames - latency_frames_, true);
    delay.reset();
  }
  gain_.jump(settings.normalise ? normalisation_gain_ : 1);
  input_gain_.jump(input_gain(settings));
  joined_.jump(settings.joined ? 1 : 0);
}

void SlotModel::follow(const SlotSettings& settings) noexcept {
  for (DelayLine& delay : alignment_) delay.set_delay(settings.latency_frames - latency_frames_);
  gain_.aim(settings.normalise ? normalisation_gain_ : 1);
  input_gain_.aim(input_gain(settings));
  if (joined_.rests_at(1) && !settings.joined && lanes_.size() == 2) {
    lanes_[1].reset();  // it was stopped, so its memory is outdated
    joined_.aim(0, latency_frames_ + settle_frames_);
  } else {
    joined_.aim(settings.joined ? 1 : 0);
  }
}

float SlotModel::input_gain(const SlotSettings& settings) const noexcept {
  return settings.full_scale_dbu && full_scale_dbu_ ? db_to_gain(*settings.full_scale_dbu - *full_scale_dbu_) : 1;
}

std::optional<float> SlotModel::output_full_scale_dbu(float full_scale_dbu, bool normalised) const noexcept {
  if (!model_) return full_scale_dbu;
  return normalised ? std::nullopt : out_full_scale_dbu_;  // a normalised model has no known level
}

void SlotModel::set_controls(const RackControls& controls) noexcept {
  if (std::memcmp(controls.data(), controls_.data(), sizeof controls_) == 0)
    return;  // handles NaN, which always differs from itself
  controls_ = controls;
  for (SleepingModel& lane : lanes_) lane.set_controls(std::span(controls_).first(model_->card().controls.size()));
}

void SlotModel::process(const SlotInput& in, AudioBlock out) noexcept {
  if (wide_) {
    for (int c = 0; c < out.channel_count; ++c) std::ranges::copy(in.channels.channel(c), out.channels[c]);
    for (int c = 0; c < out.channel_count; ++c) multiply(out.channel(c), input_gain_);
    lanes_[0].process(out);
  } else {
    std::ranges::copy(in.first, out.channels[0]);
    multiply(out.channel(0), input_gain_);
    run(0, out.channels[0], out.frames);
    if (out.channel_count == 2) {
      if (!joined_.rests_at(1)) {
        std::ranges::copy(in.channels.channel(1), out.channels[1]);
        multiply(out.channel(1), input_gain_);
        run(1, out.channels[1], out.frames);
      }
      cross_fade(out.channel(1), out.channel(0), joined_);
      joined_.advance(out.frames);
    }
  }
  for (int c = 0; c < out.channel_count; ++c) {
    limit(out.channel(c));
    multiply(out.channel(c), gain_);
    alignment_[static_cast<size_t>(c)].process(out.channel(c));
  }
  gain_.advance(out.frames);
  input_gain_.advance(out.frames);
}

void SlotModel::run(size_t lane, float* samples, int frames) noexcept {
  if (!lanes_.empty()) lanes_[lane].process({&samples, 1, frames});
}

size_t SlotModel::watch(std::span<ssm::LayerActivity> activity) noexcept {
  if (lanes_.empty()) return 0;
  const auto watched = activity.first(std::min(activity.size(), model_->layers_with_memory()));
  lanes_[0].watch(watched);
  return watched.size();
}

SlotModel::Counts& SlotModel::Counts::operator+=(const Counts& more) noexcept {
  frames_run += more.frames_run;
  restarts += more.restarts;
  return *this;
}

SlotModel::Counts SlotModel::take_counts() noexcept {
  Counts all;
  for (const SleepingModel& lane : lanes_) all += {lane.frames_run(), lane.restarts()};
  const Counts fresh{all.frames_run - told_.frames_run, all.restarts - told_.restarts};
  told_ = all;
  return fresh;
}

}  // namespace coil::dsp
