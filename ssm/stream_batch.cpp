// Cuts the streams of a step into blocks of rows that fit a fast cache.
#include "ssm/stream_batch.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "ssm/layers/block.h"
#include "ssm/stream.h"

namespace coil::ssm {

StreamBatch::StreamBatch(std::shared_ptr<const Model> model, size_t streams)
    : model_(std::move(model)), rest_(Stream(model_).state()), arenas_(streams * model_->state_layout()->size), unchecked_frames_(streams),
      film_(streams), all_(streams), runner_(std::make_unique<BlockRunner>(model_->network(), streams)) {
  rows_.resize(runner_->rows());
  std::iota(all_.begin(), all_.end(), 0u);
  for (size_t i = 0; i < streams; ++i) {
    set_state(i, rest_);
    unchecked_frames_[i] = uint8_t(i % kCheckFrames);  // so that not all states are looked at in the same step
  }
}
StreamBatch::~StreamBatch() = default;
StreamBatch::StreamBatch(StreamBatch&&) noexcept = default;
StreamBatch& StreamBatch::operator=(StreamBatch&&) noexcept = default;

void StreamBatch::step(std::span<const uint32_t> streams, std::span<const float> in, std::span<float> out) noexcept {
  assert(model_->config().input_kind == InputKind::frames);
  assert(in.size() == streams.size() * size_t(model_->config().d_input) && out.size() == streams.size() * size_t(model_->config().d_output));
  run(streams.data(), in.data(), nullptr, out.data(), streams.size());
}

void StreamBatch::step(std::span<const float> in, std::span<float> out) noexcept { step(all_, in, out); }

void StreamBatch::step_tokens(std::span<const uint32_t> streams, std::span<const int32_t> tokens, std::span<float> logits) noexcept {
  assert(model_->config().input_kind == InputKind::token_ids);
  assert(tokens.size() == streams.size() && logits.size() == streams.size() * size_t(model_->config().d_output));
  run(streams.data(), nullptr, tokens.data(), logits.data(), streams.size());
}

float* StreamBatch::touch(size_t stream) noexcept {
  film_[stream] = 0;
  return arena(stream);
}

void StreamBatch::reset(size_t stream) noexcept { model_->network().modulation().reset(touch(stream), rest_.data(), model_->state_layout()->size); }

void StreamBatch::set_controls(size_t stream, std::span<const float> values) noexcept {
  model_->network().modulation().set_controls(touch(stream), values);
}

void StreamBatch::copy_state(size_t stream, State& to) const noexcept {
  const size_t floats = model_->state_layout()->size;
  std::copy_n(arenas_.data() + stream * floats, floats, to.data());
}

void StreamBatch::set_state(size_t stream, const State& from) noexcept { std::copy_n(from.data(), model_->state_layout()->size, touch(stream)); }

void StreamBatch::run(const uint32_t* streams, const float* in, const int32_t* tokens, float* out, size_t n) noexcept {
  const Network& network = model_->network();
  const size_t d_input = size_t(model_->config().d_input), d_output = size_t(model_->config().d_output), state_floats = model_->state_layout()->size;
  for (size_t first = 0; first < n; first += rows_.size()) {
    const size_t block = std::min(n - first, rows_.size());
    bool rests = runner_->film() != 0;
    for (size_t i = 0; i < block; ++i) {
      rows_[i] = {arena(streams[first + i]), 1};
      rests = rests && film_[streams[first + i]] == runner_->film();
    }
    if (!tokens) non_finite_inputs_ += network.pack_input(in + first * d_input, runner_->input(), block);
    const float* output = runner_->run({rows_.data(), block}, tokens ? tokens + first : nullptr, 0, rests);
    for (size_t i = 0; i < block; ++i) {
      const uint32_t stream = streams[first + i];
      film_[stream] = runner_->film();
      float* to = out + (first + i) * d_output;
      bool finite = copy_finite(output + i * network.stride_out(), d_output, to);
      if (++unchecked_frames_[stream] >= kCheckFrames) {
        finite = finite && all_finite({rows_[i].arena, state_floats});
        unchecked_frames_[stream] = 0;
      }
      if (finite) continue;
      std::fill_n(to, d_output, 0.0f);
      reset(stream);
      ++restarts_;
    }
  }
}

}  // namespace coil::ssm
