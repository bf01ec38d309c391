// Computes the FiLM vector and the output gain from the controls (through a small network) and the slow path.
//
// Time is divided into pieces in which both change linearly. A piece ends where a hop of the slow path ends, where a
// control's ramp ends, and where a control is set. Pieces do not depend on how the signal is split into calls, so the
// result does not either.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ssm/model/card.h"
#include "ssm/layers/part.h"

namespace coil::ssm {

class LayerStack;

class Modulation {
 public:
  Modulation(const ModelConfig& config, const Plan& plan, const Card& card, const Build& build);
  ~Modulation();

  // Floats of scratch that `advance` needs, aligned.
  size_t scratch_floats() const;
  // The largest number of frames per call of advance.
  static constexpr size_t kMaxFrames = 64;

  // The piece from the current frame on; `frames` is its remaining length. base and slope point into the arena.
  // [audio-thread]
  FilmPiece current(const float* arena) const noexcept;
  // Advances by `frames` frames of the current piece; input_rows are their inputs. [audio-thread]
  void advance(float* arena, const float* input_rows, size_t frames, float* scratch) const noexcept;

  void set_controls(float* arena, std::span<const float> values) const noexcept;  // [audio-thread]
  // Sets the whole arena to `rest` (null: zeros), except the controls' settings, which take effect at once.
  // [audio-thread]
  void reset(float* arena, const float* rest, size_t arena_floats) const noexcept;

  // The output gain comes after the FiLM vector.
  bool has_gain() const { return has_gain_; }
  size_t film_floats() const { return film_floats_; }
  size_t gain_index() const { return film_floats_; }

 private:
  struct SlowPath;

  void begin_piece(float* arena) const noexcept;
  void close_piece(float* arena) const noexcept;

  std::vector<Control> controls_;
  float ramp_frames_;
  bool has_gain_ = false;
  size_t film_floats_ = 0, vector_floats_ = 0;  // the FiLM vector; FiLM vector and gain
  void add_feature(float* film, size_t feature, float value) const noexcept;

  // The control network; hidden is row-major, film is [feature][padded film order].
  std::vector<float> hidden_weight_, hidden_bias_, film_weight_, film_bias_;
  size_t network_controls_ = 0, hidden_ = 0, input_stride_ = 0;
  std::unique_ptr<SlowPath> slow_;
  size_t base_ = 0, slope_ = 0, now_ = 0, target_ = 0, counters_ = 0;  // offsets in the arena
};

}  // namespace coil::ssm
