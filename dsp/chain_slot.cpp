// ChainSlot: takes, cross-fades and returns chains.
#include "dsp/chain_slot.h"

#include <algorithm>

namespace coil::dsp {

void ChainSlot::prepare(std::unique_ptr<Placed> placed, const ProcessSpec& spec, int max_block_frames) {
  handover_.post(nullptr);
  handover_.collect();
  placed_ = std::move(placed);
  leaving_.reset();
  fade_ = Ramp(0, static_cast<int>(kFadeMs * spec.sample_rate_hz / 1000));
  fade_in_ = Ramp(1, static_cast<int>(kWarmUpMs * spec.sample_rate_hz / 1000));
  warm_up_frames_ = static_cast<int>(kWarmUpMs * spec.sample_rate_hz / 1000);
  off_ = Ramp(0, static_cast<int>(kFadeMs * spec.sample_rate_hz / 1000));
  for (AudioBuffer* buffer : {&leaving_frames_, &dry_}) *buffer = AudioBuffer(spec.channels, max_block_frames);
}

void ChainSlot::take(bool at_once) noexcept {
  if (at_once) end_fade();
  if (leaving_) return;
  std::unique_ptr<Placed> next = handover_.take();
  if (!next) return;
  leaving_ = std::exchange(placed_, std::move(next));
  fade_.jump(1);
  fade_.aim(0, warm_up_frames_);
  fade_in_.jump(at_once ? 1 : 0);
  fade_in_.aim(1);
  if (at_once) end_fade();
}

void ChainSlot::set_on(bool on, bool at_once) noexcept {
  if (at_once) {
    off_.jump(on ? 0 : 1);
  } else {
    off_.aim(on ? 0 : 1);
  }
}

void ChainSlot::process(AudioBlock block) noexcept {
  const AudioBlock dry = dry_.block(block.frames), old = leaving_frames_.block(block.frames);
  const bool fades = leaving_ != nullptr, is_off = !off_.rests_at(0);
  for (int c = 0; c < block.channel_count; ++c) {
    if (is_off) std::ranges::copy(block.channel(c), dry.channels[c]);
    if (fades) std::ranges::copy(block.channel(c), old.channels[c]);
    multiply(block.channel(c), fade_in_);
  }
  fade_in_.advance(block.frames);
  placed_->chain.process(block);
  if (fades) {
    leaving_->chain.process(old);
    for (int c = 0; c < block.channel_count; ++c) cross_fade(block.channel(c), old.channel(c), fade_);
    fade_.advance(block.frames);
    if (!fade_.moving()) end_fade();
  }
  if (is_off) {
    for (int c = 0; c < block.channel_count; ++c) cross_fade(block.channel(c), dry.channel(c), off_);
    off_.advance(block.frames);
  }
}

void ChainSlot::reset() noexcept {
  end_fade();
  fade_in_.jump(1);
  if (placed_) placed_->chain.reset();
}

}  // namespace coil::dsp
