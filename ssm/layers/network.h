// The compiled network: input, layers, output, modulation. Block execution (Stream) and the parallel scan (Scan) share
// it.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ssm/layers/layer_stack.h"
#include "ssm/layers/modulation.h"
#include "ssm/model/card.h"

namespace coil::ssm {

class Network {
 public:
  Network(const ModelConfig& config, const Plan& plan, const Card& card, const Build& build);

  const Kernels& kernels() const { return kernels_; }
  const LayerStack& stack() const { return stack_; }
  const Modulation& modulation() const { return *modulation_; }
  size_t stride_in() const { return padded(d_input_); }
  size_t stride_out() const { return head_->stride(); }
  const OutputHead& head() const { return *head_; }
  // The widest row between input and output projection.
  size_t widest() const { return std::max(stack_.widest(), stride_in()); }

  // The number of frames per block at which a block's rows fit into the L2 cache. Longer calls are split.
  size_t block_frames() const;

  // Packs n interleaved frames into padded rows. Returns how many values were not finite; they become 0. [audio-thread]
  size_t pack_input(const float* frames, float* rows, size_t n) const noexcept;
  // Computes the rows of the first layer from input rows. Token ids outside the vocabulary read as 0.
  void begin(const float* input_rows, float* h, size_t n) const noexcept;
  void embed(const int32_t* tokens, float* h, size_t n) const noexcept;
  // Computes output rows of `head` (head() or a selection of it) from h: norm, projection, direct path and gain. `h` is
  // overwritten. `folded`: the matrices of this head, if the film pieces are constant.
  void end(const OutputHead& head, const float* input_rows, float* h, float* output_rows, size_t n,
           std::span<const FilmPiece> film, const FilmFolds* folded) const noexcept;

 private:
  const Kernels& kernels_;
  size_t d_input_;
  AlignedFloats embedding_;
  size_t embedding_stride_ = 0, vocab_ = 0;
  std::optional<PackedLinear> in_proj_;
  std::optional<OutputHead> head_;
  LayerStack stack_;
  std::unique_ptr<PointwisePart> norm_f_;
  std::unique_ptr<Modulation> modulation_;
};

}  // namespace coil::ssm
