// Block execution: cuts calls into blocks that fit a fast cache and the pieces of the modulation.
#include "ssm/stream.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "ssm/layers/network.h"

namespace coil::ssm {

namespace {
constexpr size_t kCheckFrames = 64;
}

// All buffers of one stream, allocated once.
struct Workspace {
  AlignedFloats floats;
  float *input, *output, *modulation;
  LayerBuffers layers;
  FilmFolds folds;
  size_t block;

  explicit Workspace(const Network& network) : folds(network.stack()), block(network.block_frames()) {
    const size_t input_floats = block * network.stride_in(), output_floats = block * network.stride_out(), row_floats = block * network.widest();
    const size_t modulation_floats = padded(network.modulation().scratch_floats());
    floats.assign(input_floats + output_floats + modulation_floats + 3 * row_floats + network.stack().scratch_floats(block), 0.0f);
    input = floats.data();
    output = input + input_floats;
    modulation = output + output_floats;
    float* rows = modulation + modulation_floats;
    layers = {{rows, rows + row_floats, rows + 2 * row_floats}, rows + 3 * row_floats, nullptr};
  }
};

Stream::Stream(std::shared_ptr<const Model> model, std::span<const float> controls)
    : model_(std::move(model)), state_(model_->initial_state()), rest_(state_), workspace_(std::make_unique<Workspace>(model_->network())) {
  if (!controls.empty()) set_controls(controls);
  const ModelConfig& config = model_->config();
  if (config.input_kind != InputKind::frames || model_->card().settle_frames == 0) return;
  const size_t block = workspace_->block;
  const std::vector<float> silence(block * size_t(config.d_input));
  std::vector<float> ignored(block * size_t(config.d_output));
  for (size_t left = size_t(model_->card().settle_frames); left > 0;) {
    const size_t frames = std::min(left, block);
    process({silence.data(), frames * size_t(config.d_input)}, {ignored.data(), frames * size_t(config.d_output)});
    left -= frames;
  }
  rest_ = state_;
  reset();
}
Stream::~Stream() = default;
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;

void Stream::process(std::span<const float> in, std::span<float> out) noexcept {
  const ModelConfig& config = model_->config();
  assert(config.input_kind == InputKind::frames);
  const size_t n = in.size() / size_t(config.d_input);
  assert(out.size() == n * size_t(config.d_output));
  run(in.data(), nullptr, out.data(), n);
}

void Stream::process_tokens(std::span<const int32_t> tokens, std::span<float> logits) noexcept {
  assert(model_->config().input_kind == InputKind::token_ids);
  assert(logits.size() == tokens.size() * size_t(model_->config().d_output));
  run(nullptr, tokens.data(), logits.data(), tokens.size());
}

void Stream::run(const float* frames, const int32_t* tokens, float* out, size_t n) noexcept {
  const Network& network = model_->network();
  const size_t d_input = size_t(model_->config().d_input), d_output = size_t(model_->config().d_output);
  Workspace& ws = *workspace_;
  float* arena = state_.data();
  while (n > 0) {
    FilmPiece piece = network.modulation().current(arena);
    const size_t block = std::min({n, ws.block, piece.frames});
    piece.frames = block;
    const std::span<const FilmPiece> film{&piece, 1};

    if (tokens) {
      network.embed(tokens, ws.layers.rows[0], block);
      tokens += block;
    } else {
      non_finite_inputs_ += network.pack_input(frames, ws.input, block);
      network.begin(ws.input, ws.layers.rows[0], block);
      frames += block * d_input;
    }
    const bool film_stands = piece.base && !piece.slope;
    if (film_stands) ws.folds.update(piece.base);
    ws.layers.folded = film_stands ? ws.folds.matrices() : nullptr;
    float* h = network.stack().run(block, arena, film, ws.layers);
    network.end(ws.input, h, ws.output, block, film);
    network.modulation().advance(arena, ws.input, block, ws.modulation);

    float worst = 0;  // NaN and infinity times zero are NaN
    for (size_t t = 0; t < block; ++t)
      for (size_t c = 0; c < d_output; ++c) {
        const float value = ws.output[t * network.stride_out() + c];
        out[t * d_output + c] = value;
        worst += value * 0.0f;
      }
    unchecked_frames_ += block;
    if (unchecked_frames_ >= kCheckFrames) {
      // an infinite state can hide behind a tanh
      if (!state_.is_finite()) worst = 1;
      unchecked_frames_ = 0;
    }
    if (!(worst == 0.0f)) {
      std::fill_n(out, block * d_output, 0.0f);
      reset();
      ++restarts_;
    }
    out += block * d_output;
    n -= block;
  }
}

}  // namespace coil::ssm
