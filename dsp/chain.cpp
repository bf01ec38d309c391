// Chain: takes, cross-fades and returns lists of stages.
#include "dsp/chain.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "dsp/denormals.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {
namespace {

constexpr int kMaxPieceFrames = 256;  // small enough for the buffers to fit the L1 cache

bool contains(const Chain::Stages& stages, const std::shared_ptr<ChainStage>& stage) noexcept {
  return std::ranges::find(stages, stage) != stages.end();
}

std::unique_ptr<Chain::Order> order_of(const Chain::Stages& stages) {
  auto order = std::make_unique<Chain::Order>();
  order->stages = stages;
  order->parts.reserve(stages.size() + 1);
  return order;
}

}  // namespace

Chain::Chain(std::vector<Stage> stages) : handover_(std::make_unique<Handover<Order>>()) {
  for (Stage& stage : stages) latest_.push_back(std::make_shared<ChainStage>(std::move(stage)));
}

ProcessSpec Chain::stage_spec(const ProcessSpec& spec) noexcept {
  return {spec.sample_rate_hz, std::clamp(spec.max_block_frames, 1, kMaxPieceFrames), spec.channels};
}

void Chain::prepare(const ProcessSpec& spec) {
  for (size_t i = 0; i < latest_.size(); ++i) {
    try {
      latest_[i]->prepare(stage_spec(spec));
    } catch (const Error& error) {
      throw Error("stage " + std::to_string(i + 1) + " (" + latest_[i]->name() + "): " + error.what());
    }
  }
  prepare(spec, latest_);
}

void Chain::prepare(const ProcessSpec& spec, Stages stages) {
  if (spec.channels != 1 && spec.channels != 2)
    throw Error("a chain supports 1 or 2 channels, not " + std::to_string(spec.channels));
  latest_ = std::move(stages);
  handover_->post(nullptr);
  handover_->collect();
  leaving_.reset();
  now_ = order_of(latest_);
  const auto frames = [&](float ms) { return static_cast<int>(ms / 1000 * spec.sample_rate_hz); };
  fade_ = Ramp(0, frames(kFadeMs));
  fade_in_ = Ramp(1, frames(kWarmUpMs));
  warm_up_frames_ = frames(kWarmUpMs);
  max_piece_frames_ = stage_spec(spec).max_block_frames;
  for (AudioBuffer* buffer : {&dry_, &old_}) *buffer = AudioBuffer(spec.channels, max_piece_frames_);
  ended_restarts_ = 0;
  fresh_ = true;
}

std::unique_ptr<Chain::Order> Chain::play(Stages stages) {
  latest_ = std::move(stages);
  return handover_->post(order_of(latest_));
}

int Chain::latency_frames() const noexcept {
  int sum = 0;
  for (const auto& stage : latest_) sum += stage->processor().latency_frames();
  return sum;
}

// -- the audio thread

int Chain::current_latency_frames() const noexcept {
  int sum = 0;
  if (now_)
    for (const auto& stage : now_->stages) sum += stage->processor().current_latency_frames();
  return sum;
}

std::optional<float> Chain::follow_level(std::optional<float> full_scale_dbu) noexcept {
  full_scale_dbu_ = full_scale_dbu;
  if (now_)
    for (const auto& stage : now_->stages) full_scale_dbu = stage->follow_level(full_scale_dbu);
  return full_scale_dbu;
}

uint64_t Chain::restarts() const noexcept {
  uint64_t count = ended_restarts_;
  if (now_)
    for (const auto& stage : now_->stages) count += stage->processor().restarts();
  return count;
}

void Chain::reset() noexcept {
  end_fade();
  if (now_)
    for (const auto& stage : now_->stages) stage->reset();
  fresh_ = true;
}

void Chain::take() noexcept {
  if (fresh_) end_fade();
  if (leaving_ || !handover_->waiting()) return;
  leaving_ = std::exchange(now_, handover_->take());
  if (fresh_) return end_fade();
  compare();
  fade_in_.jump(0);
  fade_in_.aim(1);
}

// Finds what differs between the two lists, and begins the fade.
void Chain::compare() noexcept {
  const Stages& old = leaving_->stages;
  const Stages& next = now_->stages;
  int latency = 0;
  size_t old_begin = 0, begin = 0;
  now_->parts.clear();
  for (size_t end = 0; end <= next.size(); ++end) {
    size_t old_end = old.size();
    if (end < next.size()) {
      old_end = static_cast<size_t>(std::ranges::find(old, next[end]) - old.begin());
      if (old_end == old.size()) {
        latency += next[end]->processor().current_latency_frames();
        continue;
      }
    }
    now_->parts.push_back({old_begin, old_end, begin, end});
    old_begin = old_end + 1;
    begin = end + 1;
  }
  fade_.jump(1);
  fade_.aim(0, warm_up_frames_ + latency);
}

void Chain::end_fade() noexcept {
  if (leaving_ && now_)
    for (const auto& stage : leaving_->stages)
      if (!contains(now_->stages, stage)) ended_restarts_ += stage->processor().restarts();
  handover_->give_back(std::move(leaving_));
}

void Chain::process(AudioBlock block) noexcept {
  const ScopedFlushDenormals flush;
  for (int c = 0; c < block.channel_count; ++c) drop_faults(block.channel(c), faults_);
  process_clean(block);
}

void Chain::process_clean(AudioBlock block) noexcept {
  take();
  follow_level(full_scale_dbu_);
  in_pieces(block, max_piece_frames_, [this](AudioBlock piece) {
    process_piece(piece);
    fresh_ = false;
  });
}

void Chain::process_piece(AudioBlock piece) noexcept {
  const AudioBlock dry = dry_.block(piece.frames);
  if (!leaving_) {
    for (const auto& stage : now_->stages) stage->process(piece, dry);
    return;
  }
  for (const Order::Part& part : now_->parts) {
    fade_part(part, piece);
    if (part.end < now_->stages.size()) now_->stages[part.end]->process(piece, dry);
  }
  fade_.advance(piece.frames);
  fade_in_.advance(piece.frames);
  if (!fade_.moving()) end_fade();
}

void Chain::fade_part(const Order::Part& part, AudioBlock piece) noexcept {
  if (part.old_begin == part.old_end && part.begin == part.end) return;
  const AudioBlock old = old_.block(piece.frames), dry = dry_.block(piece.frames);
  for (int c = 0; c < piece.channel_count; ++c) {
    std::ranges::copy(piece.channel(c), old.channels[c]);
    if (part.begin != part.end) multiply(piece.channel(c), fade_in_);
  }
  for (size_t i = part.old_begin; i < part.old_end; ++i) leaving_->stages[i]->process(old, dry);
  for (size_t i = part.begin; i < part.end; ++i) now_->stages[i]->process(piece, dry);
  for (int c = 0; c < piece.channel_count; ++c) cross_fade(piece.channel(c), old.channel(c), fade_);
}

}  // namespace coil::dsp
