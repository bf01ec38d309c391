// Block execution: splits calls into blocks that fit the cache and the pieces of the modulation.
#include "ssm/run/stream.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "ssm/layers/block.h"
#include "ssm/machine/row_threads.h"

namespace coil::ssm {

Stream::Stream(std::shared_ptr<const Model> model, std::span<const float> controls)
    : model_(std::move(model)),
      state_(model_->initial_state()),
      rest_(state_),
      runner_(std::make_unique<BlockRunner>(model_->network(), 2)) {
  if (!controls.empty()) set_controls(controls);
  const ModelConfig& config = model_->config();
  if (config.input_kind != InputKind::frames || model_->card().settle_frames == 0) return;
  if (std::optional<State> known = model_->rests().of(state_)) {
    rest_ = *std::move(known);
  } else {
    const State begin = state_;
    settle();
    rest_ = state_;
    model_->rests().keep(begin, rest_);
  }
  reset();
}
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;

void Stream::settle() {
  const ModelConfig& config = model_->config();
  const size_t block = runner_->rows();
  const std::vector<float> silence(block * size_t(config.d_input));
  std::vector<float> ignored(block * size_t(config.d_output));
  for (size_t left = size_t(model_->card().settle_frames); left > 0;) {
    const size_t frames = std::min(left, block);
    process({silence.data(), frames * size_t(config.d_input)}, {ignored.data(), frames * size_t(config.d_output)});
    left -= frames;
  }
}

void Stream::watch(std::span<LayerActivity> activity) noexcept { runner_->watch(activity); }

void Stream::process(std::span<const float> in, std::span<float> out) noexcept {
  const ModelConfig& config = model_->config();
  assert(config.input_kind == InputKind::frames);
  const size_t n = in.size() / size_t(config.d_input);
  assert(out.size() == n * size_t(config.d_output));
  run(in.data(), nullptr, out.data(), n, 0);
}

void Stream::process_tokens(std::span<const int32_t> tokens, std::span<float> logits) noexcept {
  assert(model_->config().input_kind == InputKind::token_ids);
  const size_t vocab = size_t(model_->config().d_output), outputs = logits.size() / vocab;
  assert(logits.size() == outputs * vocab && outputs <= tokens.size());
  const RowThreads::Scope scope(threads_);
  run(nullptr, tokens.data(), logits.data(), tokens.size(), tokens.size() - outputs);
}

void Stream::run(const float* frames, const int32_t* tokens, float* out, size_t n, size_t skip) noexcept {
  const Network& network = model_->network();
  const size_t d_input = size_t(model_->config().d_input), d_output = size_t(model_->config().d_output);
  float* arena = state_.data();
  while (n > 0) {
    const size_t block = std::min(n, runner_->frames_at_once(arena)), silent = std::min(skip, block);
    if (tokens) {
      tokens += block;
    } else {
      non_finite_inputs_ += network.pack_input(frames, runner_->input(), block);
      frames += block * d_input;
    }
    const StreamRows rows{arena, block};
    const float* output = runner_->run({&rows, 1}, tokens ? tokens - block : nullptr, silent);

    deliver(output, block, block - silent, out);
    out += (block - silent) * d_output;
    n -= block;
    skip -= silent;
  }
}

void Stream::deliver(const float* output, size_t n, size_t wanted, float* out) noexcept {
  const size_t stride = model_->network().stride_out(), d_output = size_t(model_->config().d_output);
  bool finite = true;
  for (size_t t = 0; t < wanted; ++t) finite &= copy_finite(output + t * stride, d_output, out + t * d_output);
  unchecked_frames_ += n;
  if (unchecked_frames_ >= kCheckFrames) {
    finite = finite && state_.is_finite();
    unchecked_frames_ = 0;
  }
  if (finite) return;
  std::fill_n(out, wanted * d_output, 0.0f);
  reset();
  ++restarts_;
}

void Stream::process_pair(Stream& first, Stream& second, const Frames& of_first, const Frames& of_second) noexcept {
  assert(first.model_ == second.model_ && of_first.in.size() == of_second.in.size());
  // A longer block of one stream fills all lanes, and its rows need not be cut in half.
  constexpr size_t kPairFrames = 32;
  const Network& network = first.model_->network();
  const size_t d_input = size_t(first.model_->config().d_input), d_output = size_t(first.model_->config().d_output);
  const size_t n = of_first.in.size() / d_input;
  if (!network.stack().pairs() || n >= kPairFrames) {
    first.process(of_first.in, of_first.out);
    second.process(of_second.in, of_second.out);
    return;
  }
  BlockRunner& runner = *first.runner_;
  float *arena = first.state_.data(), *other = second.state_.data();
  for (size_t t = 0; t < n;) {
    const size_t block =
        std::min({n - t, runner.rows() / 2, runner.frames_at_once(arena), runner.frames_at_once(other)});
    float* const input = runner.input();
    first.non_finite_inputs_ += network.pack_input(&of_first.in[t * d_input], input, block);
    second.non_finite_inputs_ +=
        network.pack_input(&of_second.in[t * d_input], input + block * network.stride_in(), block);
    const std::array<StreamRows, 2> rows{{{arena, block}, {other, block}}};
    const float* output = runner.run(rows, nullptr);
    first.deliver(output, block, block, &of_first.out[t * d_output]);
    second.deliver(output + block * network.stride_out(), block, block, &of_second.out[t * d_output]);
    t += block;
  }
}

}  // namespace coil::ssm
