// ChainStage: delays the processor's input to match its output, for power and mix.
#include "dsp/chain_stage.h"

#include <algorithm>
#include <cmath>

#include "dsp/sample_faults.h"

namespace coil::dsp {
namespace {

constexpr float kDelayFadeMs = 25;

}  // namespace

ChainStage::ChainStage(Stage stage)
    : name_(std::move(stage.name)), processor_(std::move(stage.processor)), settings_(std::move(stage.settings)) {
  if (settings_) return;
  settings_ = std::make_shared<StageSettings>();
  settings_->mix = stage.mix;
  settings_->on = !stage.bypassed;
}

void ChainStage::prepare(const ProcessSpec& spec) {
  processor_->prepare(spec);
  const auto frames = [&](float ms) { return static_cast<int>(ms / 1000 * spec.sample_rate_hz); };
  dryness_ = Ramp(0, frames(kRampMs));
  delays_.clear();
  if (const int most = processor_->max_latency_frames(); most > 0)
    delays_.assign(static_cast<size_t>(spec.channels), DelayLine(most, frames(kDelayFadeMs)));
  fresh_ = true;
}

void ChainStage::reset() noexcept {
  processor_->reset();
  for (DelayLine& delay : delays_) delay.reset();
  fresh_ = true;
}

std::optional<float> ChainStage::follow_level(std::optional<float> full_scale_dbu) noexcept {
  const std::optional<float> out = processor_->follow_level(full_scale_dbu);
  return settings_->on ? out : full_scale_dbu;
}

void ChainStage::process(AudioBlock block, AudioBlock dry) noexcept {
  const float mix = settings_->mix;
  const float dryness = !settings_->on ? 1 : std::isfinite(mix) ? 1 - std::clamp(mix, 0.0f, 1.0f) : 0;
  dryness_.set(dryness, fresh_);

  const bool mixes = !dryness_.rests_at(0);
  if (mixes || !delays_.empty())
    for (int c = 0; c < block.channel_count; ++c) std::ranges::copy(block.channel(c), dry.channels[c]);
  processor_->process(block);
  for (size_t c = 0; c < delays_.size(); ++c) {
    delays_[c].set_delay(processor_->current_latency_frames(), fresh_);
    delays_[c].process(dry.channel(static_cast<int>(c)));
  }
  for (int c = 0; c < block.channel_count; ++c) {
    if (mixes) cross_fade(block.channel(c), dry.channel(c), dryness_);
    if (peak(block.channel(c)) > kLoudest) limit(block.channel(c));
  }
  dryness_.advance(block.frames);
  fresh_ = false;
}

}  // namespace coil::dsp
