// Runs one block through the whole network: the rows of one stream, or of many streams at once. Stream and StreamBatch
// are thin wrappers around it.
#pragma once

#include <span>

#include "ssm/layers/network.h"

namespace coil::ssm {

// An infinite state can hide behind a tanh, so a stream's state is checked once in this many frames.
inline constexpr size_t kCheckFrames = 64;

// Copies n values and returns whether all were finite. [audio-thread]
bool copy_finite(const float* from, size_t n, float* to) noexcept;

// All buffers of block execution, allocated once.
class BlockRunner {
 public:
  // For blocks of at most `streams` streams. `outputs`: the wanted outputs, in this order; empty: all. [main-thread]
  BlockRunner(const Network& network, size_t streams, std::span<const uint32_t> outputs = {});
  BlockRunner(const BlockRunner&) = delete;  // members point at each other

  // The largest number of rows per call of run, for all streams together.
  size_t rows() const { return rows_; }
  // How many of the stream's next frames one call of run may process: up to the end of the current modulation piece.
  size_t frames_at_once(const float* arena) const noexcept {
    return std::min(rows_, network_.modulation().current(arena).frames);
  }
  // [rows()][stride_in], filled by Network::pack_input before run. [audio-thread]
  float* input() { return input_; }

  // The outputs in a row, and their layout.
  const OutputHead& head() const { return selected_ ? *selected_ : network_.head(); }

  // Advances every stream by its rows; token models read tokens instead of input(). Returns the first row of outputs,
  // in the layout of head(). Rows before first_output are not computed: a prompt only needs its last row. `rests`
  // promises that all these streams had this film() after their last run and were not changed since, so that their
  // vectors need not be compared again. [audio-thread]
  const float* run(std::span<const StreamRows> streams, const int32_t* tokens, size_t first_output = 0,
                   bool rests = false) noexcept;

  // Following runs, each of a single stream, write the activity of the layers here; empty: not written. [audio-thread]
  void watch(std::span<LayerActivity> activity) noexcept { layers_.activity = activity; }

  // A number for the constant FiLM vector and gain that all streams had in the last run. Another vector has another
  // number. 0: they differed or moved.
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
