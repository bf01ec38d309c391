// SleepingModel: detects silence and constant output frame by frame, so that its behaviour does not depend on block
// sizes.
#include "dsp/sleeping_model.h"

#include <algorithm>
#include <cmath>

#include "dsp/sample_faults.h"

namespace coil::dsp {
namespace {

AudioBlock part(AudioBlock block, std::array<float*, 2>& channels, int begin, int frames) {
  for (int c = 0; c < block.channel_count; ++c) channels[c] = block.channels[c] + begin;
  return {channels.data(), block.channel_count, frames};
}

bool silent_at(AudioBlock block, int frame) {
  for (int c = 0; c < block.channel_count; ++c)
    if (block.channels[c][frame] != 0) return false;
  return true;
}

// The number of silent frames at the beginning.
int silent_frames(AudioBlock block) {
  bool all = true;
  for (int c = 0; c < block.channel_count; ++c) all = all && silent(block.channel(c));
  if (all) return block.frames;
  int frames = 0;
  while (silent_at(block, frames)) ++frames;
  return frames;
}

}  // namespace

SleepingModel::SleepingModel(std::shared_ptr<const ssm::Model> model, const ProcessSpec& spec,
                             std::span<const float> controls, RateMode rate_mode)
    : processor_(std::move(model), rate_mode),
      frames_to_sleep_(std::max(1, static_cast<int>(kStillMs * spec.sample_rate_hz / 1000))) {
  processor_.set_controls(controls);
  processor_.prepare(spec);
  missed_ = AudioBuffer(spec.channels, std::min(processor_.period_frames(), kMaxPeriodFrames));
}

void SleepingModel::reset() noexcept {
  processor_.reset();
  asleep_ = false;
  still_frames_ = slept_frames_ = 0;
}

void SleepingModel::set_controls(std::span<const float> values) noexcept {
  wake();
  processor_.set_controls(values);
}

void SleepingModel::process(AudioBlock block) noexcept {
  std::array<float*, 2> channels;
  for (int begin = 0; begin < block.frames;) {
    if (asleep_) {
      const int end = begin + silent_frames(part(block, channels, begin, block.frames - begin));
      for (int c = 0; c < block.channel_count; ++c)
        std::fill(block.channels[c] + begin, block.channels[c] + end, last_[c]);
      slept_frames_ = (slept_frames_ + end - begin) % processor_.period_frames();
      begin = end;
      if (begin == block.frames) return;
      wake();
    }
    const int frames = std::min(block.frames - begin, frames_to_sleep_ - still_frames_);
    run(part(block, channels, begin, frames));
    begin += frames;
  }
}

void SleepingModel::wake() noexcept {
  if (slept_frames_ > 0) {
    const AudioBlock missed = missed_.block(slept_frames_);
    for (int c = 0; c < missed.channel_count; ++c) std::ranges::fill(missed.channel(c), 0.0f);
    processor_.process_clean(missed);
    frames_run_ += static_cast<uint64_t>(slept_frames_);
  }
  asleep_ = false;
  still_frames_ = slept_frames_ = 0;
}

void SleepingModel::run(AudioBlock block) noexcept {
  int begin = block.frames;  // where the silence at the end begins
  while (begin > 0 && silent_at(block, begin - 1)) --begin;
  processor_.process_clean(block);
  frames_run_ += static_cast<uint64_t>(block.frames);
  if (begin > 0) still_frames_ = 0;
  for (int i = begin; i < block.frames; ++i) {
    bool still = still_frames_ > 0;
    for (int c = 0; c < block.channel_count; ++c) still &= std::fabs(block.channels[c][i] - anchor_[c]) <= kStill;
    if (!still) {
      for (int c = 0; c < block.channel_count; ++c) anchor_[c] = block.channels[c][i];
      still_frames_ = 0;
    }
    ++still_frames_;
  }
  for (int c = 0; c < block.channel_count; ++c) last_[c] = block.channels[c][block.frames - 1];
  if (still_frames_ < frames_to_sleep_) return;
  asleep_ = processor_.period_frames() <= kMaxPeriodFrames;
  still_frames_ = 0;
}

}  // namespace coil::dsp
