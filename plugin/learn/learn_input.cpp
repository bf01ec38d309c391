// Nothing here waits; only start() and stop() use the heap.
#include "plugin/learn/learn_input.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "plugin/learn/thread_priority.h"

namespace coil::plugin {
namespace {

void raise(std::atomic<float>& to, const float* from, size_t frames) noexcept {
  float peak = 0;
  for (size_t t = 0; from && t < frames; ++t) peak = std::max(peak, std::fabs(from[t]));
  if (peak > to.load(std::memory_order_relaxed)) to.store(peak, std::memory_order_relaxed);
}

}  // namespace

void LearnInput::start(std::vector<float> signal) {
  if (!ring_) ring_ = std::make_unique<SignalRing>(kRingFrames);
  ring_->read();  // drop old data
  if (!signal.empty()) {
    auto object = std::make_unique<Signal>();
    object->frames = std::move(signal);
    signals_.post(std::move(object));
    plays_signal_ = true;
  }
  recording_.store(true, std::memory_order_release);
}

void LearnInput::stop() noexcept {
  recording_ = false;
  plays_signal_ = false;
  signals_.post(nullptr);
}

void LearnInput::take_signal() noexcept {
  if (!plays_signal_ || signals_.waiting()) signals_.give_back(std::exchange(signal_, nullptr));
  if (plays_signal_ && !signal_) signal_ = signals_.take();
}

void LearnInput::listen(const SignalPair& signals, size_t frames) noexcept {
  const bool records = recording_.load(std::memory_order_acquire);
  if (!watched_.load(std::memory_order_relaxed) && !records && !signal_) return;
  has_return_ = signals.wet[0] != nullptr;
  blocks_.fetch_add(1, std::memory_order_relaxed);
  core_ = present_core();
  take_signal();
  SignalPair heard = signals;
  const size_t left = signal_ ? signal_->frames.size() - signal_->at : 0;
  if (signal_) heard.dry[0] = heard.dry[1] = left >= frames ? signal_->frames.data() + signal_->at : nullptr;
  for (size_t c = 0; c < 2; ++c) {
    raise(levels_.dry[c], heard.dry[c], frames);
    raise(levels_.wet[c], heard.wet[c], frames);
  }
  if (records) ring_->write(heard, frames);
}

void LearnInput::play(dsp::AudioBlock block) noexcept {
  if (!signal_) return;
  const size_t frames = size_t(block.frames), left = signal_->frames.size() - signal_->at;
  for (int c = 0; c < block.channel_count; ++c) {
    std::fill_n(block.channels[c], frames, 0.0f);
    if (left >= frames) std::copy_n(signal_->frames.data() + signal_->at, frames, block.channels[c]);
  }
  signal_->at += left >= frames ? frames : left;
}

}  // namespace coil::plugin
