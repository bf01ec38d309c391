// The interface of a compiled part of the network: block processing, and for parts with memory the two phases of the
// parallel scan.
#pragma once

#include <cstddef>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <variant>

#include "ssm/model/checkpoint.h"
#include "ssm/kernels/kernels.h"
#include "ssm/model/plan.h"
#include "ssm/model/state.h"

namespace coil::ssm {

// The FiLM vector over some frames: at frame t it is base + slope * (first + t). If slope is null, it is constant. Each
// film part's scale and shift are padded, so offsets differ from those of the config.
struct FilmPiece {
  size_t frames = 0;
  float first = 0;
  const float* base = nullptr;
  const float* slope = nullptr;
};

// Immutable. in is [frames][stride_in], out is [frames][stride_out]; they do not overlap. With `accumulate` the result
// is added to out. All functions but constructors are [audio-thread].
class Part {
 public:
  virtual ~Part() = default;
  size_t stride_in() const { return stride_in_; }
  size_t stride_out() const { return stride_out_; }

 protected:
  Part(int width_in, int width_out) : stride_in_(padded(size_t(width_in))), stride_out_(padded(size_t(width_out))) {}

 private:
  size_t stride_in_, stride_out_;
};

struct Build;
class RestTanh;
class Tap;

class PointwisePart : public Part {
 public:
  // `scratch` has scratch_floats(frames) floats.
  virtual void process(const float* in, float* out, size_t frames, bool accumulate, std::span<const FilmPiece> film,
                       float* scratch) const noexcept = 0;
  virtual bool can_accumulate() const { return false; }
  virtual size_t scratch_floats(size_t) const { return 0; }

  virtual const PackedLinear* matrix() const { return nullptr; }              // of a linear part
  virtual std::optional<size_t> film_offset() const { return std::nullopt; }  // where a film part's slice starts
  virtual const RestTanh* rest_tanh() const { return nullptr; }
  virtual const Tap* tap() const { return nullptr; }

 protected:
  using Part::Part;
};

// y = tanh(x) - tanh(x0), see RestTanhConfig. While the FiLM vector is constant, tanh(x0) is one row for all frames.
class RestTanh final : public PointwisePart {
 public:
  // film_offset: of the film part between this part and the linear part; empty: there is none.
  RestTanh(const RestTanhConfig& config, std::optional<size_t> film_offset, const Build& build);

  void process(const float* in, float* out, size_t frames, bool accumulate, std::span<const FilmPiece> film,
               float* scratch) const noexcept override;
  const RestTanh* rest_tanh() const override { return this; }
  bool moves() const { return scale_offset_.has_value(); }  // depends on the FiLM vector
  const float* rest() const { return rest_.data(); }        // unless it moves
  // tanh(x0) for these frames, or one row if the piece is constant; [..][width], columns from `first_column` on.
  // [audio-thread]
  void rest_rows(const FilmPiece& piece, size_t frames, size_t first_column, size_t width, float* rows) const noexcept;

 private:
  const Kernels& kernels_;
  AlignedFloats bias_, rest_;  // rest_: tanh(bias_)
  std::optional<size_t> scale_offset_;
};

// Reads rows from an earlier place in the chain. The code that runs the layers keeps those rows: see TapConfig.
class Tap final : public PointwisePart {
 public:
  explicit Tap(const TapConfig& config) : PointwisePart(config.width_in, config.width_out()), config_(config) {}
  TapConfig::From from() const { return config_.from; }
  // [audio-thread]
  void take(const float* source, size_t source_stride, const float* in, float* out, size_t frames) const noexcept;
  void process(const float*, float*, size_t, bool, std::span<const FilmPiece>, float*) const noexcept override {}
  const Tap* tap() const override { return this; }

 private:
  TapConfig config_;
};

// Consecutive rows of a block that belong to one stream; `arena` holds the stream's memory.
struct StreamRows {
  float* arena;
  size_t frames;
};

// A part with memory. The memory is a history (values of the last frames) and a scan state. Both have a fixed number of
// floats in a stream's arena, in any number of consecutive regions.
// A block, of one stream or of many, is processed in two phases: expand computes everything that does not depend on the
// scan state, into scratch; then recur runs. The parallel scan runs expand and end_state from zero for every chunk of
// time. join then passes the true state from chunk to chunk, and recur runs on all chunks at once.
class RecurrentPart : public Part {
 public:
  // Whether time can be divided into chunks that start from zero. If not (Memory::window, Memory::sequence), chunks run
  // one after another, and end_state and join are never called.
  virtual bool joins() const { return true; }
  size_t history_frames() const { return history_frames_; }
  size_t scan_floats() const { return scan_floats_; }
  size_t scan_offset() const { return scan_offset_; }  // of the scan state, in an arena
  size_t carry_floats() const { return 2 * scan_floats_; }
  Run run(const StreamRows& rows) const {
    return {rows.frames, rows.arena + history_offset_, rows.arena + scan_offset_};
  }

  virtual size_t history_floats() const = 0;
  virtual size_t scratch_floats(size_t frames) const = 0;
  // Fills `history` from the history_frames() input frames that end just before `in`.
  virtual void read_history(const float* in, float* history, float* scratch) const noexcept = 0;
  // `frames` is the total over all runs.
  virtual void expand(const float* in, size_t frames, Runs runs, float* scratch) const noexcept = 0;
  virtual void recur(const float* in, size_t frames, Runs runs, float* scratch, float* out,
                     bool accumulate) const noexcept = 0;
  virtual bool can_accumulate() const = 0;
  // expand, then recur.
  virtual void process(const float* in, size_t frames, Runs runs, float* scratch, float* out,
                       bool accumulate) const noexcept {
    expand(in, frames, runs, scratch);
    recur(in, frames, runs, scratch, out, accumulate);
  }
  // carry: the state that the chunk reaches from zero, then the factor by which it scales the state at its start.
  virtual void end_state(const float* in, size_t frames, float* scratch, float* carry) const noexcept = 0;
  virtual void join(const float* carry, float* scan_state) const noexcept = 0;
  // The activity of a stream whose `frames` rows were just processed alone; `scratch` must be unchanged since.
  virtual LayerActivity activity(const Run& run, float* scratch) const noexcept = 0;

  virtual const S4dKernel* bank() const { return nullptr; }  // of an S4D part

 protected:
  using Part::Part;
  size_t history_frames_ = 0, scan_floats_ = 0, history_offset_ = 0, scan_offset_ = 0;
};

inline float sum_of_squares(const float* values, size_t n) noexcept {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += values[i] * values[i];
  return sum;
}

inline float mean(const float* values, size_t n) noexcept {
  return std::accumulate(values, values + n, 0.0f) / float(n);
}

// state = factor * state + end
inline void join_real(const float* carry, float* state, size_t n) {
  for (size_t i = 0; i < n; ++i) state[i] = carry[n + i] * state[i] + carry[i];
}

// What parts are built from, and where they register their state.
struct Build {
  const Checkpoint& checkpoint;
  const Kernels& kernels;
  WeightFormat weights;
  StateLayout& layout;
};

// Loads the weights of one LinearConfig, with rows and columns in their natural order or rearranged as in pack_linear.
// Column k is scaled by column_scale[k], if given: a norm's weights, folded into the following projection.
PackedLinear load_linear(const LinearConfig& config, const Build& build);
PackedLinear load_linear(const LinearConfig& config, const Build& build, const std::vector<int>& rows,
                         const std::vector<int>& columns, const std::vector<float>& column_scale = {});

// Pointwise, in place; any activation but glu. [audio-thread]
void activate(const Kernels& kernels, Activation kind, float* x, size_t stride, size_t width, size_t frames) noexcept;
// y *= x. [audio-thread]
void multiply(const float* x, size_t x_stride, float* y, size_t y_stride, size_t width, size_t frames) noexcept;

// An RMS norm folded into the following projection: its weights go into the columns, and one factor per frame remains.
struct FoldedNorm {
  std::vector<float> weight;  // empty: no norm
  float eps = 0;

  FoldedNorm(const std::optional<RmsNormConfig>& config, const Checkpoint& checkpoint);
};

// 0, 1, ... n - 1
std::vector<int> iota(int n, int from = 0);
void append(std::vector<int>& rows, const std::vector<int>& more, size_t padded_to = 0);  // padded with -1

// `values` in the order of `source` (-1: zero): scatters channel parameters into a padded layout.
AlignedFloats arranged(const std::vector<float>& values, const std::vector<int>& source, float scale = 1.0f);

using AnyPart = std::variant<std::unique_ptr<PointwisePart>, std::unique_ptr<RecurrentPart>>;

// Makes the compiled part of a config; `place` is its entry in the plan. Each kind's file instantiates it, see
// make_part.h; a kind without an instantiation does not link.
template <class Config>
AnyPart make_part(const Config& config, const PlannedPart& place, const Build& build);

std::unique_ptr<PointwisePart> make_rms_norm(const RmsNormConfig& config, const Build& build);

}  // namespace coil::ssm
