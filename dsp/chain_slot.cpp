// ChainSlot: taking, cross-fading and giving back of chains.
#include "dsp/chain_slot.h"

#include <algorithm>

namespace coil::dsp {

void ChainSlot::prepare(std::unique_ptr<Placed> placed, const ProcessSpec& spec, int max_block_frames) {
  handover_.post(nullptr);
  handover_.collect();
  placed_ = std::move(placed);
  leaving_.reset();
  fade_ = Ramp(0, static_cast<int>(kFadeMs * spec.sample_rate_hz / 1000));
  warm_up_frames_ = static_cast<int>(kWarmUpMs * spec.sample_rate_hz / 1000);
  leaving_frames_ = AudioBuffer(spec.channels, max_block_frames);
}

void ChainSlot::take(bool at_once) noexcept {
  if (at_once) end_fade();
  if (leaving_) return;
  std::unique_ptr<Placed> next = handover_.take();
  if (!next) return;
  leaving_ = std::exchange(placed_, std::move(next));
  fade_.jump(1);
  fade_.aim(0, warm_up_frames_);
  if (at_once) end_fade();
}

void ChainSlot::process(AudioBlock block) noexcept {
  if (!leaving_) {
    placed_->chain.process(block);
    return;
  }
  const AudioBlock old = leaving_frames_.block(block.frames);
  for (int c = 0; c < block.channel_count; ++c) std::ranges::copy(block.channel(c), old.channels[c]);
  placed_->chain.process(block);
  leaving_->chain.process(old);
  for (int c = 0; c < block.channel_count; ++c) cross_fade(block.channel(c), old.channel(c), fade_);
  fade_.advance(block.frames);
  if (!fade_.moving()) end_fade();
}

void ChainSlot::reset() noexcept {
  end_fade();
  placed_->chain.reset();
}

}  // namespace coil::dsp
