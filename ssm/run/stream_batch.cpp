// Divides the streams' frames into blocks of rows that fit the cache.
#include "ssm/run/stream_batch.h"

#include <algorithm>
#include <cassert>

#include "ssm/layers/block.h"
#include "ssm/run/stream.h"

namespace coil::ssm {
namespace {

constexpr size_t kMostTogether = size_t{32} << 20;  // bytes of states per allocation, unless one state is larger

}  // namespace

StreamBatch::StreamBatch(std::shared_ptr<const Model> model, size_t streams, std::span<const uint32_t> outputs)
    : model_(std::move(model)),
      width_out_(outputs.empty() ? size_t(model_->config().d_output) : outputs.size()),
      rest_(Stream(model_).state()),
      runner_(std::make_unique<BlockRunner>(model_->network(), SIZE_MAX, outputs)) {
  rows_.resize(runner_->rows());
  names_.resize(runner_->rows());
  add(streams);
}
StreamBatch::~StreamBatch() = default;
StreamBatch::StreamBatch(StreamBatch&&) noexcept = default;
StreamBatch& StreamBatch::operator=(StreamBatch&&) noexcept = default;

void StreamBatch::add(size_t streams) {
  const size_t floats = model_->state_layout()->size,
               together = std::max<size_t>(1, kMostTogether / std::max<size_t>(1, floats * sizeof(float)));
  const size_t first = size(), end = first + streams;
  for (size_t i = first; i < end;) {
    const size_t count = std::min(together, end - i);
    pages_.push_back(allocate_large_pages(count * floats));
    for (size_t k = 0; k < count; ++k, ++i) arenas_.push_back(pages_.back().get() + k * floats);
  }
  film_.resize(end);
  for (size_t i = first; i < end; ++i) {
    set_state(i, rest_);
    unchecked_frames_.push_back(uint8_t(i % kCheckFrames));  // staggered, so that not all states are checked in the
                                                             // same step
  }
}

void StreamBatch::process(std::span<const Advance> streams, std::span<const float> in, std::span<float> out) noexcept {
  assert(model_->config().input_kind == InputKind::frames);
  run(
      streams.size(), [&](size_t i) { return streams[i]; }, in.data(), nullptr, out.data());
}

void StreamBatch::step(std::span<const uint32_t> streams, std::span<const float> in, std::span<float> out) noexcept {
  assert(model_->config().input_kind == InputKind::frames);
  assert(in.size() == streams.size() * size_t(model_->config().d_input) && out.size() == streams.size() * width_out_);
  run(
      streams.size(),
      [&](size_t i) {
        return Advance{streams[i], 1};
      },
      in.data(), nullptr, out.data());
}

void StreamBatch::step(std::span<const float> in, std::span<float> out) noexcept {
  assert(in.size() == size() * size_t(model_->config().d_input) && out.size() == size() * width_out_);
  run(
      size(),
      [](size_t i) {
        return Advance{uint32_t(i), 1};
      },
      in.data(), nullptr, out.data());
}

void StreamBatch::step_tokens(std::span<const uint32_t> streams, std::span<const int32_t> tokens,
                              std::span<float> logits) noexcept {
  assert(model_->config().input_kind == InputKind::token_ids);
  assert(tokens.size() == streams.size() && logits.size() == streams.size() * width_out_);
  run(
      streams.size(),
      [&](size_t i) {
        return Advance{streams[i], 1};
      },
      nullptr, tokens.data(), logits.data());
}

float* StreamBatch::touch(size_t stream) noexcept {
  film_[stream] = 0;
  return arenas_[stream];
}

void StreamBatch::reset(size_t stream) noexcept {
  model_->network().modulation().reset(touch(stream), rest_.data(), model_->state_layout()->size);
}

void StreamBatch::set_controls(size_t stream, std::span<const float> values) noexcept {
  model_->network().modulation().set_controls(touch(stream), values);
}

void StreamBatch::copy_state(size_t stream, State& to) const noexcept {
  std::copy_n(arenas_[stream], model_->state_layout()->size, to.data());
}

void StreamBatch::set_state(size_t stream, const State& from) noexcept {
  std::copy_n(from.data(), model_->state_layout()->size, touch(stream));
}

double StreamBatch::macs_per_frame() const noexcept {
  const ModelConfig& config = model_->config();
  const double inputs = (config.out_proj ? config.out_proj->d_in : 0) + (config.direct ? config.direct->d_in : 0);
  return model_->cost().macs_per_step - inputs * (double(config.d_output) - double(width_out_));
}

// advance(i) is the i-th stream and its number of frames.
template <class Advances>
void StreamBatch::run(size_t streams, const Advances& advance, const float* in, const int32_t* tokens,
                      float* out) noexcept {
  const size_t d_input = tokens ? 0 : size_t(model_->config().d_input);
  size_t named = 0, frames = 0;  // in the block
  const auto flush = [&] {
    run_block(named, in, tokens, out);
    in += frames * d_input;
    tokens += tokens ? frames : 0;
    out += frames * width_out_;
    named = frames = 0;
  };
  for (size_t i = 0; i < streams; ++i) {
    const Advance next = advance(i);
    for (size_t left = next.frames; left > 0;) {
      if (frames == runner_->rows()) flush();
      float* arena = arenas_[next.stream];
      const size_t count = left == 1 ? 1 : std::min({left, runner_->rows() - frames, runner_->frames_at_once(arena)});
      rows_[named] = {arena, count};
      names_[named++] = next.stream;
      frames += count;
      left -= count;
      if (left > 0) flush();  // the stream continues in the next block
    }
  }
  if (named > 0) flush();
}

void StreamBatch::run_block(size_t streams, const float* in, const int32_t* tokens, float* out) noexcept {
  const std::span<const StreamRows> rows(rows_.data(), streams);
  size_t frames = 0;
  bool rests = runner_->film() != 0;
  for (size_t i = 0; i < streams; ++i) {
    frames += rows[i].frames;
    rests = rests && film_[names_[i]] == runner_->film();
  }
  stretches_ += streams;
  if (!tokens) non_finite_inputs_ += model_->network().pack_input(in, runner_->input(), frames);
  const float* output = runner_->run(rows, tokens, 0, rests);
  for (size_t i = 0; i < streams; ++i) {
    const uint32_t stream = names_[i];
    film_[stream] = runner_->film();
    float* first = out;
    bool finite = true;
    for (size_t t = 0; t < rows[i].frames; ++t, output += runner_->head().stride(), out += width_out_)
      finite &= copy_finite(output, width_out_, out);
    const size_t unchecked = unchecked_frames_[stream] + rows[i].frames;
    if (unchecked >= kCheckFrames) finite = finite && all_finite({rows[i].arena, model_->state_layout()->size});
    unchecked_frames_[stream] = uint8_t(unchecked >= kCheckFrames ? 0 : unchecked);
    if (finite) continue;
    std::fill(first, out, 0.0f);
    reset(stream);
    ++restarts_;
  }
}

}  // namespace coil::ssm
