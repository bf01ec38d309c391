// What moves the FiLM vector and the output gain: the controls through their small network, and the slow path.
//
// Time is cut into pieces in which both move linearly: a piece ends where a hop of the slow path ends, where a
// control's ramp ends, and where a control is set. Pieces do not depend on how the signal is cut into calls, so neither
// does the result.
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

  // Floats that `advance` needs, aligned.
  size_t scratch_floats() const;
  // At most so many frames may be handed to one call of advance.
  static constexpr size_t kMaxFrames = 64;

  // From the current frame on; `frames` is what is left of the piece. base and slope point into the arena.
  // [audio-thread]
  FilmPiece current(const float* arena) const noexcept;
  // Moves on by `frames` frames of the current piece, which had these input rows. [audio-thread]
  void advance(float* arena, const float* input_rows, size_t frames, float* scratch) const noexcept;

  void set_controls(float* arena, std::span<const float> values) const noexcept;  // [audio-thread]
  // The whole arena becomes `rest` (null: zeros), but for what the controls ask for, which is then in force at once.
  // [audio-thread]
  void reset(float* arena, const float* rest, size_t arena_floats) const noexcept;

  // The output gain lies behind the FiLM vector.
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
  size_t film_floats_ = 0, vector_floats_ = 0;  // FiLM alone; FiLM and gain
  void add_feature(float* film, size_t feature, float value) const noexcept;

  // The control network: hidden row-major; film [feature][padded film order].
  std::vector<float> hidden_weight_, hidden_bias_, film_weight_, film_bias_;
  size_t network_controls_ = 0, hidden_ = 0, input_stride_ = 0;
  std::unique_ptr<SlowPath> slow_;
  size_t base_ = 0, slope_ = 0, now_ = 0, target_ = 0, counters_ = 0;  // offsets in the arena
};

}  // namespace coil::ssm
