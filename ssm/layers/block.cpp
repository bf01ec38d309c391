// The buffers of block execution, and its order of operations.
#include "ssm/layers/block.h"

#include <cstring>

namespace coil::ssm {

bool copy_finite(const float* from, size_t n, float* to) noexcept {
  float worst = 0;  // NaN * 0 and infinity * 0 are NaN
  for (size_t i = 0; i < n; ++i) {
    to[i] = from[i];
    worst += from[i] * 0.0f;
  }
  return worst == 0.0f;
}

BlockRunner::BlockRunner(const Network& network, size_t streams, std::span<const uint32_t> outputs)
    : network_(network),
      selected_(outputs.empty() ? std::nullopt : std::optional(network.head().select(network.kernels(), outputs))),
      rows_(network.block_frames()),
      folds_(network.stack(), head(), network.modulation().film_floats()),
      runs_(std::min(streams, rows_)),
      film_(runs_.size()) {
  const size_t input_floats = rows_ * network.stride_in(), output_floats = rows_ * head().stride(),
               row_floats = rows_ * network.widest();
  const size_t modulation_floats = padded(network.modulation().scratch_floats());
  const size_t kept_floats = network.stack().keeps_rows() ? row_floats : 0,
               scratch_floats = network.stack().scratch_floats(rows_);
  floats_.assign(input_floats + output_floats + modulation_floats + 3 * (row_floats + kept_floats) + scratch_floats,
                 0.0f);
  input_ = floats_.data();
  output_ = input_ + input_floats;
  modulation_ = output_ + output_floats;
  float* rows = modulation_ + modulation_floats;
  float* kept = rows + 3 * row_floats;
  layers_ = {{rows, rows + row_floats, rows + 2 * row_floats},
             kept + 3 * kept_floats,
             runs_.data(),
             {kept, kept + kept_floats, kept + 2 * kept_floats},
             nullptr,
             {}};
}

// Collects one piece per stream. If all streams have the same constant FiLM vector, it is folded into the matrices.
void BlockRunner::collect_film(std::span<const StreamRows> streams) noexcept {
  const Modulation& modulation = network_.modulation();
  const size_t vector_bytes = (modulation.film_floats() + 1) * sizeof(float);  // the gain comes after the vector
  film_stands_ = true;
  for (size_t i = 0; i < streams.size(); ++i) {
    FilmPiece& piece = film_[i] = modulation.current(streams[i].arena);
    piece.frames = streams[i].frames;
    film_stands_ = film_stands_ && piece.base && !piece.slope &&
                   (i == 0 || std::memcmp(piece.base, film_[0].base, vector_bytes) == 0);
  }
  layers_.folded = film_stands_ ? &folds_ : nullptr;
  if (!film_stands_) return;
  const float gain = film_[0].base[modulation.gain_index()];
  if (folds_.update(film_[0].base) || gain != gain_) ++film_number_;
  gain_ = gain;
}

const float* BlockRunner::run(std::span<const StreamRows> streams, const int32_t* tokens, size_t first_output,
                              bool rests) noexcept {
  size_t n = 0;
  for (const StreamRows& rows : streams) n += rows.frames;
  if (rests)
    film_[0] = {n, 0, network_.modulation().current(streams[0].arena).base, nullptr};
  else
    collect_film(streams);
  const std::span<const FilmPiece> pieces{film_.data(), rests ? 1 : streams.size()};
  if (tokens)
    network_.embed(tokens, layers_.rows[0], n);
  else
    network_.begin(input_, layers_.rows[0], n);
  float* h = network_.stack().run(n, streams, pieces, layers_);
  if (first_output < n) {
    // The gains of skipped rows are ignored: only blocks of token models skip rows, and those have no gain.
    network_.end(head(), input_ + first_output * network_.stride_in(), h + first_output * network_.stack().stride_out(),
                 output_, n - first_output, pieces, layers_.folded);
  }
  if (rests) return output_;
  const float* in = input_;
  for (const StreamRows& rows : streams) {
    network_.modulation().advance(rows.arena, in, rows.frames, modulation_);
    in += rows.frames * network_.stride_in();
  }
  return output_;
}

}  // namespace coil::ssm
