// One block through the whole network: the rows of one stream, or of many at once. Stream and StreamBatch are thin
// around it.
#pragma once

#include <span>

#include "ssm/layers/network.h"

namespace coil::ssm {

// An infinite state can hide behind a tanh: a stream's state is looked at after so many frames.
inline constexpr size_t kCheckFrames = 64;

// Copies n values; says whether all were finite. [audio-thread]
bool copy_finite(const float* from, size_t n, float* to) noexcept;

// All buffers of block execution, allocated once.
class BlockRunner {
 public:
  // Blocks of at most `streams` streams at once. `outputs`: the ones that are wanted, in this order; none named: all.
  // [main-thread]
  BlockRunner(const Network& network, size_t streams, std::span<const uint32_t> outputs = {});
  BlockRunner(const BlockRunner&) = delete;  // its parts point at each other

  // At most so many rows in one call of run, those of all streams together.
  size_t rows() const { return rows_; }
  // How many of the stream's next frames may be handed to one call of run: to the end of the modulation's piece.
  size_t frames_at_once(const float* arena) const noexcept {
    return std::min(rows_, network_.modulation().current(arena).frames);
  }
  // [rows()][stride_in]: to be filled by Network::pack_input before run. [audio-thread]
  float* input() { return input_; }

  // What rows of outputs hold, and how they lie.
  const OutputHead& head() const { return selected_ ? *selected_ : network_.head(); }

  // Moves every stream on by its rows; token models take tokens in place of input(). The outputs begin at the returned
  // row of head(). Rows before first_output get none: a prompt only needs its last. If `rests`, the caller knows that
  // all these streams had this film() after their last run and have not been touched since: they are not asked again.
  // [audio-thread]
  const float* run(std::span<const StreamRows> streams, const int32_t* tokens, size_t first_output = 0,
                   bool rests = false) noexcept;

  // Where the coming runs, of a single stream each, write what its layers do; empty: nowhere. [audio-thread]
  void watch(std::span<LayerActivity> activity) noexcept { layers_.activity = activity; }

  // The FiLM vector and gain that all streams of the last run had, standing still: a number that is new for every other
  // vector. 0: they differed or moved.
  uint64_t film() const { return film_stands_ ? film_number_ : 0; }

 private:
  void collect_film(std::span<const StreamRows> streams) noexcept;

  const Network& network_;
  std::optional<OutputHead> selected_;
  size_t rows_;
  AlignedFloats floats_;
  float *input_, *output_, *modulation_;
  LayerBuffers layers_;
  FilmFolds folds_;
  std::vector<Run> runs_;
  std::vector<FilmPiece> film_;
  float gain_ = 0;
  bool film_stands_ = false;
  uint64_t film_number_ = 0;
};

}  // namespace coil::ssm
