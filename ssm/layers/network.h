// The compiled network: input, layers, output, modulation; shared by block execution (Stream) and the parallel scan
// (Scan).
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ssm/model/card.h"
#include "ssm/layers/modulation.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

// h = residual ? h + parts(h) : parts(h)
struct Layer {
  bool residual = true;
  std::vector<AnyPart> parts;
  std::vector<int> fold;  // per part: a linear part that a film part follows has a place in FilmFolds; others -1
  std::vector<int> rest;  // per part: the same of a RestTanh that moves
  size_t stride_in = 0, stride_out = 0;
  bool input_is_kept = false;  // the next layer takes it up
};

class LayerStack;
class OutputHead;

// While the FiLM vector stands still, a film part behind a linear part costs nothing: (1 + scale) (W x + b) + shift is
// a linear part too. So is the output projection with what is added to its weights. One stream's copies of those
// matrices, and of what each RestTanh subtracts.
class FilmFolds {
 public:
  FilmFolds(const LayerStack& stack, const OutputHead& head, size_t film_floats);  // [main-thread]
  // Folds anew if the vector is not bit for bit that of last time; says whether it did. [audio-thread]
  bool update(const float* film) noexcept;
  const PackedLinear& matrix(int fold) const { return matrices_[size_t(fold)]; }
  const float* rest(int rest) const { return rests_[size_t(rest)].data(); }
  const PackedLinear* output() const { return output_ ? &*output_ : nullptr; }  // null: the head's own

 private:
  void fold_output(const float* film) noexcept;

  const LayerStack& stack_;
  const OutputHead& head_;
  std::vector<PackedLinear> matrices_;
  std::vector<AlignedFloats> rests_;
  std::optional<PackedLinear> output_;
  std::vector<float> film_;
};

// Three buffers of [frames][widest()], the mixers' scratch, and a run for every stream.
struct LayerBuffers {
  float* rows[3];
  float* scratch;
  Run* runs;
  float* kept[3];                     // rows that a tap takes up: of the network's input, of two layers' inputs in turn
  const FilmFolds* folded = nullptr;  // of the FiLM vector that holds; null: film parts run by themselves
  std::span<LayerActivity>
      activity;  // of the first layers with memory, wanted when a single stream runs; empty: not wanted
};

class LayerStack {
 public:
  LayerStack(const std::vector<PlannedLayer>& layers, int width, const Build& build);

  // A linear part and the film part behind it.
  struct Fold {
    const PackedLinear* matrix;
    size_t film_offset;
  };

  const Kernels& kernels() const { return kernels_; }
  const std::vector<Layer>& layers() const { return layers_; }
  const std::vector<Fold>& folds() const { return folds_; }
  // A RestTanh that moves, and the place in folds() of what stands before it; -1: that is not folded.
  struct Rest {
    const RestTanh* part;
    int fold;
  };
  const std::vector<Rest>& rests() const { return rests_; }
  size_t widest() const { return widest_; }
  size_t stride_out() const { return layers_.empty() ? width_ : layers_.back().stride_out; }
  size_t scratch_floats(size_t frames) const;
  size_t pointwise_scratch_floats(size_t frames) const;  // of parts without memory alone
  size_t layers_with_memory() const;
  bool keeps_rows() const { return keeps_rows_; }    // for taps
  bool keeps_input() const { return keeps_input_; }  // of the first layer

  // h = buffers.rows[0] on entry: `frames` rows, those of one stream after those of the other, as the film pieces are.
  // Returns the row buffer that holds the result. [audio-thread]
  float* run(size_t frames, std::span<const StreamRows> streams, std::span<const FilmPiece> film,
             const LayerBuffers& buffers) const noexcept;

 private:
  const Kernels& kernels_;
  std::vector<Layer> layers_;
  std::vector<Fold> folds_;
  std::vector<Rest> rests_;
  size_t width_, widest_;
  bool keeps_rows_ = false, keeps_input_ = false;
};

// From a row of the network to its outputs: the output projection and the direct path, of all outputs or of some.
class OutputHead {
 public:
  // film_offset: where the padded rows of what is added to the projection's weights begin in the FiLM vector; none:
  // nothing is.
  OutputHead(std::optional<PackedLinear> projection, std::optional<PackedLinear> direct, size_t outputs,
             std::optional<size_t> film_offset);
  // Only these outputs, in this order, each to the bit as here. [main-thread]
  OutputHead select(const Kernels& kernels, std::span<const uint32_t> outputs) const;

  size_t width() const { return width_; }
  size_t stride() const { return padded(width_); }
  const PackedLinear* projection() const { return projection_ ? &*projection_ : nullptr; }
  // Per output, where the row of what is added to its weights lies in the FiLM vector; empty: nothing is.
  const std::vector<size_t>& film_rows() const { return film_rows_; }
  // h [n][h_stride], output_rows [n][stride()]; folded: the projection with the film pieces in it, or null.
  // [audio-thread]
  void process(const Kernels& kernels, const float* input_rows, size_t input_stride, const float* h, size_t h_stride,
               float* output_rows, size_t n, std::span<const FilmPiece> film,
               const PackedLinear* folded) const noexcept;

 private:
  void add_film(const Kernels& kernels, const float* h, size_t h_stride, float* output_rows, size_t n,
                std::span<const FilmPiece> film) const noexcept;

  std::optional<PackedLinear> projection_, direct_;
  size_t width_;
  std::vector<size_t> film_rows_;
  std::vector<uint32_t>
      taken_;  // without a projection: the floats of a row that are the outputs; empty: all as they lie
};

class Network {
 public:
  Network(const ModelConfig& config, const Plan& plan, const Card& card, const Build& build);

  const Kernels& kernels() const { return kernels_; }
  const LayerStack& stack() const { return stack_; }
  const Modulation& modulation() const { return *modulation_; }
  size_t stride_in() const { return padded(d_input_); }
  size_t stride_out() const { return head_->stride(); }
  const OutputHead& head() const { return *head_; }
  // Of a row between input and output projection.
  size_t widest() const { return std::max(stack_.widest(), stride_in()); }

  // Frames per block that keep a block's rows within a fast cache. Longer calls are cut.
  size_t block_frames() const;

  // Packs n interleaved frames into padded rows; returns how many values were not finite (they become 0).
  // [audio-thread]
  size_t pack_input(const float* frames, float* rows, size_t n) const noexcept;
  // rows of the input -> rows of the first layer. Ids outside the vocabulary read as 0.
  void begin(const float* input_rows, float* h, size_t n) const noexcept;
  void embed(const int32_t* tokens, float* h, size_t n) const noexcept;
  // h -> output rows of `head`, which is head() or selected from it: norm, projection, direct path and gain. `h` is
  // overwritten. `folded`: of this head and the film pieces, if they stand still.
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
