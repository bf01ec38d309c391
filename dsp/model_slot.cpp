// ModelSlot: takes, cross-fades and returns models.
#include "dsp/model_slot.h"

namespace coil::dsp {

void ModelSlot::prepare(std::unique_ptr<SlotModel> slot_model, const ProcessSpec& spec, int max_block_frames) {
  handover_.post(nullptr);
  handover_.collect();
  slot_model_ = std::move(slot_model);
  leaving_.reset();
  fade_ = Ramp(0, static_cast<int>(kFadeMs * spec.sample_rate_hz / 1000));
  leaving_frames_ = AudioBuffer(spec.channels, max_block_frames);
  counts_ = {};
}

bool ModelSlot::take(bool heard) noexcept {
  if (!heard) end_fade();
  if (leaving_ || !handover_.waiting()) return false;
  leaving_ = std::exchange(slot_model_, handover_.take());
  if (!heard) end_fade();
  return true;
}

void ModelSlot::start(const SlotSettings& settings) noexcept {
  slot_model_->start(settings);
  if (!leaving_) return;
  fade_.jump(1);
  fade_.aim(0, slot_model_->warm_up_frames(settings.latency_frames));
}

void ModelSlot::process(const SlotInput& in, AudioBlock out) noexcept {
  slot_model_->process(in, out);
  counts_ += slot_model_->take_counts();
  if (!leaving_) return;
  const AudioBlock old = leaving_frames_.block(out.frames);
  leaving_->process(in, old);
  counts_ += leaving_->take_counts();
  for (int c = 0; c < out.channel_count; ++c) cross_fade(out.channel(c), old.channel(c), fade_);
  fade_.advance(out.frames);
  if (!fade_.moving()) end_fade();
}

void ModelSlot::end_fade() noexcept { handover_.give_back(std::move(leaving_)); }

}  // namespace coil::dsp
