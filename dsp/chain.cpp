// Chain: runs each stage in order, and keeps its delayed input for bypass and mix.
#include "dsp/chain.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "dsp/denormals.h"

namespace coil::dsp {
namespace {

constexpr int kMaxPieceFrames = 256;  // small enough for the buffers to fit the L1 cache

}  // namespace

Chain::Chain(std::vector<Stage> stages) : stages_(std::move(stages)), around_(stages_.size()) {}

void Chain::prepare(const ProcessSpec& spec) {
  if (spec.channels != 1 && spec.channels != 2)
    throw Error("a chain supports 1 or 2 channels, not " + std::to_string(spec.channels));
  max_block_frames_ = std::clamp(spec.max_block_frames, 1, kMaxPieceFrames);
  ProcessSpec own = spec;
  own.max_block_frames = max_block_frames_;
  const int ramp_frames = static_cast<int>(kRampMs / 1000 * spec.sample_rate_hz);
  latency_frames_ = 0;
  for (size_t i = 0; i < stages_.size(); ++i) {
    AudioProcessor& processor = *stages_[i].processor;
    try {
      processor.prepare(own);
    } catch (const Error& error) {
      throw Error("stage " + std::to_string(i + 1) + " (" + stages_[i].name + "): " + error.what());
    }
    const int latency = processor.latency_frames();
    latency_frames_ += latency;
    around_[i].dryness = Ramp(0, ramp_frames);
    around_[i].delays.assign(static_cast<size_t>(spec.channels), DelayLine(std::max(1, latency), 1));
    for (DelayLine& delay : around_[i].delays) delay.set_delay(latency, true);
    aim(i);
    around_[i].dryness.jump(around_[i].dryness.target());
  }
  dry_ = AudioBuffer(spec.channels, max_block_frames_);
}

void Chain::reset() noexcept {
  for (size_t i = 0; i < stages_.size(); ++i) {
    stages_[i].processor->reset();
    for (DelayLine& delay : around_[i].delays) delay.reset();
    around_[i].dryness.jump(around_[i].dryness.target());
  }
}

uint64_t Chain::restarts() const noexcept {
  uint64_t count = 0;
  for (const Stage& stage : stages_) count += stage.processor->restarts();
  return count;
}

void Chain::aim(size_t stage) noexcept {
  const float mix = std::isfinite(stages_[stage].mix) ? std::clamp(stages_[stage].mix, 0.0f, 1.0f) : 1;
  around_[stage].dryness.aim(stages_[stage].bypassed ? 1 : 1 - mix);
}

void Chain::set_mix(size_t stage, float mix) noexcept {
  stages_[stage].mix = mix;
  aim(stage);
}

void Chain::set_bypassed(size_t stage, bool bypassed) noexcept {
  stages_[stage].bypassed = bypassed;
  aim(stage);
}

void Chain::process(AudioBlock block) noexcept {
  const ScopedFlushDenormals flush;
  std::array<float*, 2> channels{};
  for (int begin = 0; begin < block.frames; begin += max_block_frames_) {
    const int frames = std::min(max_block_frames_, block.frames - begin);
    for (int c = 0; c < block.channel_count; ++c) channels[static_cast<size_t>(c)] = block.channels[c] + begin;
    const AudioBlock piece{channels.data(), block.channel_count, frames};
    for (size_t i = 0; i < stages_.size(); ++i) {
      Around& around = around_[i];
      const AudioBlock dry = dry_.block(frames);
      for (int c = 0; c < piece.channel_count; ++c) {
        std::ranges::copy(piece.channel(c), dry.channels[c]);
        around.delays[static_cast<size_t>(c)].process(dry.channel(c));
      }
      stages_[i].processor->process(piece);
      for (int c = 0; c < piece.channel_count; ++c) cross_fade(piece.channel(c), dry.channel(c), around.dryness);
      around.dryness.advance(frames);
    }
  }
}

}  // namespace coil::dsp
