// The compiled layers of a network or of its slow path, and the head that computes outputs from their rows.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ssm/layers/part.h"

namespace coil::ssm {

// h = residual ? h + parts(h) : parts(h)
struct Layer {
  bool residual = true;
  std::vector<AnyPart> parts;
  std::vector<int> fold;  // per part: the index in FilmFolds of a linear part that is followed by a film part; -1 for
                          // other parts
  std::vector<int> rest;  // per part: the same for a RestTanh that depends on the FiLM vector
  size_t stride_in = 0, stride_out = 0;
  bool input_is_kept = false;    // a tap of the next layer reads it
  std::optional<size_t> narrow;  // the index in narrow() if one kernel computes the layer as a whole
};

class LayerStack;
class OutputHead;

// While the FiLM vector is constant, a film part after a linear part costs nothing, because (1 + scale) (W x + b) +
// shift is also a linear part. The same holds for the output projection with its added weights. This class holds one
// stream's copies of those matrices, and of the values that each RestTanh subtracts.
class FilmFolds {
 public:
  FilmFolds(const LayerStack& stack, const OutputHead& head, size_t film_floats);  // [main-thread]
  // Folds again if the vector differs in any bit from the last one, and returns whether it did. [audio-thread]
  bool update(const float* film) noexcept;
  const PackedLinear& matrix(int fold) const { return matrices_[size_t(fold)]; }
  std::span<const NarrowLayer> narrow() const { return narrow_; }  // those of the stack, with the folded values
  const float* rest(int rest) const { return rests_[size_t(rest)].data(); }
  const PackedLinear* output() const { return output_ ? &*output_ : nullptr; }  // null: use the head's own

 private:
  void fold_output(const float* film) noexcept;

  const LayerStack& stack_;
  const OutputHead& head_;
  std::vector<PackedLinear> matrices_;
  std::vector<AlignedFloats> rests_;
  std::vector<NarrowLayer> narrow_;
  std::optional<PackedLinear> output_;
  std::vector<float> film_;
};

// Three buffers of [frames][widest()], scratch for the mixers, and one run per stream.
struct LayerBuffers {
  float* rows[3];
  float* scratch;
  Run* runs;
  float* kept[3];                     // rows for taps: the network's input, and alternately the inputs of two layers
  const FilmFolds* folded = nullptr;  // for the current FiLM vector; null: film parts run separately
  std::span<LayerActivity>
      activity;  // output for the first layers with memory, when a single stream runs; empty: not wanted
};

class LayerStack {
 public:
  LayerStack(const std::vector<PlannedLayer>& layers, int width, const Build& build);

  // A linear part and the film part after it.
  struct Fold {
    const PackedLinear* matrix;
    size_t film_offset;
  };

  const Kernels& kernels() const { return kernels_; }
  const std::vector<Layer>& layers() const { return layers_; }
  const std::vector<Fold>& folds() const { return folds_; }
  // A RestTanh that depends on the FiLM vector, and the index in folds() of the parts before it; -1 if they are not
  // folded.
  struct Rest {
    const RestTanh* part;
    int fold;
  };
  const std::vector<Rest>& rests() const { return rests_; }
  const std::vector<NarrowLayer>& narrow() const { return narrow_; }
  size_t widest() const { return widest_; }
  size_t stride_out() const { return layers_.empty() ? width_ : layers_.back().stride_out; }
  size_t scratch_floats(size_t frames) const;
  size_t pointwise_scratch_floats(size_t frames) const;  // for parts without memory only
  size_t layers_with_memory() const;
  bool pairs() const;                                // two streams together cost less than one after the other
  bool keeps_rows() const { return keeps_rows_; }    // for taps
  bool keeps_input() const { return keeps_input_; }  // whether a tap reads the first layer's input

  // On entry h = buffers.rows[0]: `frames` rows, stream after stream, in the order of the film pieces. Returns the row
  // buffer that holds the result. [audio-thread]
  float* run(size_t frames, std::span<const StreamRows> streams, std::span<const FilmPiece> film,
             const LayerBuffers& buffers) const noexcept;

 private:
  size_t run_narrow(size_t first, std::span<const StreamRows> streams, std::span<const FilmPiece> film,
                    const LayerBuffers& buffers, std::span<LayerActivity>& activity, float* h) const noexcept;

  const Kernels& kernels_;
  std::vector<Layer> layers_;
  std::vector<Fold> folds_;
  std::vector<Rest> rests_;
  std::vector<NarrowLayer> narrow_;
  size_t width_, widest_;
  bool keeps_rows_ = false, keeps_input_ = false;
};

// Computes outputs from rows of the network: the output projection and the direct path, for all or some outputs.
class OutputHead {
 public:
  // film_offset: where in the FiLM vector the padded rows start that are added to the projection's weights; empty:
  // nothing is added.
  OutputHead(std::optional<PackedLinear> projection, std::optional<PackedLinear> direct, size_t outputs,
             std::optional<size_t> film_offset);
  // A head with only these outputs, in this order; results are bit-identical. [main-thread]
  OutputHead select(const Kernels& kernels, std::span<const uint32_t> outputs) const;

  size_t width() const { return width_; }
  size_t stride() const { return padded(width_); }
  const PackedLinear* projection() const { return projection_ ? &*projection_ : nullptr; }
  // For each output, where in the FiLM vector the row starts that is added to its weights; empty: nothing is added.
  const std::vector<size_t>& film_rows() const { return film_rows_; }
  // h is [n][h_stride], output_rows is [n][stride()]. folded: the projection with the film pieces folded in, or null.
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
  std::vector<uint32_t> taken_;  // without a projection: which floats of a row are the outputs; empty: all, in order
};

}  // namespace coil::ssm
