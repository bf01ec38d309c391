// Computes the FiLM vector and the output gain from the controls (through a small network) and the slow path.
//
// Time is divided into pieces in which both change linearly. A piece ends where a hop of the slow path ends, where a
// control's ramp ends, and where a control is set. Pieces do not depend on how the signal is split into calls, so the
// result does not either.
#pragma once

#include <algorithm>
#include <limits>
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
  FilmPiece current(const float* arena) const noexcept {
    constexpr size_t kEver = std::numeric_limits<size_t>::max();
    if (vector_floats_ == 0) return {kEver, 0, nullptr, nullptr};
    const Counters& c = counters(arena);
    const size_t ramp = c.ramp > 0 ? frames_left(c.ramp - c.in_piece) : kEver,
                 hop = hop_frames_ > 0 ? frames_left(float(hop_frames_) - (c.hop_phase + c.in_piece)) : kEver;
    return {std::min(ramp, hop), c.in_piece + 1, arena + base_, moves(c) ? arena + slope_ : nullptr};
  }
  // Advances by `frames` frames of the current piece; input_rows are their inputs. [audio-thread]
  void advance(float* arena, const float* input_rows, size_t frames, float* scratch) const noexcept {
    if (vector_floats_ == 0 || frames == 0) return;
    Counters& c = counters(arena);
    if (c.started == 0) c.started = 1;
    if (moves(c)) advance_piece(arena, input_rows, frames, scratch);
  }

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
  // The integers of the modulation, stored in the arena as floats (exact, because all are below 2^24).
  struct Counters {
    float in_piece;   // frames since the start of the piece
    float ramp;       // remaining frames of the controls' ramp at the start of the piece; 0: no ramp
    float hop_phase;  // frames since the start of the hop, at the start of the piece
    float started;    // 1 after the first frame
  };
  const Counters& counters(const float* arena) const { return *reinterpret_cast<const Counters*>(arena + counters_); }
  Counters& counters(float* arena) const { return *reinterpret_cast<Counters*>(arena + counters_); }
  bool moves(const Counters& c) const { return hop_frames_ > 0 || c.ramp > 0; }
  // Clamped to at least one frame and a sane maximum, whatever a state file contains, so that processing always
  // advances.
  static size_t frames_left(float frames) { return frames > 1.0f ? size_t(std::min(frames, 1e6f)) : 1; }

  void advance_piece(float* arena, const float* input_rows, size_t frames, float* scratch) const noexcept;
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
  size_t hop_frames_ = 0;                                              // of the slow path; 0: there is none
  size_t base_ = 0, slope_ = 0, now_ = 0, target_ = 0, counters_ = 0;  // offsets in the arena
};

}  // namespace coil::ssm
