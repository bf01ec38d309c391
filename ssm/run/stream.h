// A model and one state: the recurrent processor of one signal, frame by frame or in blocks of any size.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ssm/run/model.h"

namespace coil::ssm {

// One thread at a time. Nothing marked [audio-thread] allocates, locks, throws or calls the system.
class Stream {
 public:
  // Begins at rest with these controls (see set_controls; none: the card's defaults). [main-thread]
  explicit Stream(std::shared_ptr<const Model> model, std::span<const float> controls = {});
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  const Model& model() const noexcept { return *model_; }
  State& state() noexcept { return state_; }
  const State& state() const noexcept { return state_; }

  // Forgets the signal, keeps the controls: back to the rest that the stream began with. [audio-thread]
  void reset() noexcept { model_->reset(state_, &rest_); }
  // As Model::set_controls. [audio-thread]
  void set_controls(std::span<const float> values) noexcept { model_->set_controls(state_, values); }

  // Interleaved frames: in (frames, d_input), out (frames, d_output); in == out is allowed for equal widths. Any split
  // of a signal into calls gives the same output. A value that is not finite reads as 0; if an output or (looked at
  // every 64 frames) the state ever leaves the finite numbers, the block is silent and the stream starts anew. Models
  // that take frames only. [audio-thread]
  void process(std::span<const float> in, std::span<float> out) noexcept;
  void step(std::span<const float> frame_in, std::span<float> frame_out) noexcept { process(frame_in, frame_out); }

  // tokens (frames), logits (rows, vocabulary) of the last rows: as many as there is room for, one to go on after a
  // prompt. Models that take token ids only; an id outside the vocabulary reads as 0. [audio-thread]
  void process_tokens(std::span<const int32_t> tokens, std::span<float> logits) noexcept;

  // From now on each block ends by writing what the first activity.size() layers with memory do; empty: none does. It
  // costs about as much as reading the state once: hosts watch now and then. [audio-thread]
  void watch(std::span<LayerActivity> activity) noexcept;

  // Since construction: values replaced at the input, and restarts after a state that was not finite. [audio-thread]
  uint64_t non_finite_inputs() const noexcept { return non_finite_inputs_; }
  uint64_t restarts() const noexcept { return restarts_; }

 private:
  void settle();
  void run(const float* frames, const int32_t* tokens, float* out, size_t n, size_t skip) noexcept;

  std::shared_ptr<const Model> model_;
  State state_, rest_;
  uint64_t non_finite_inputs_ = 0, restarts_ = 0;
  size_t unchecked_frames_ = 0;
  std::unique_ptr<class BlockRunner> runner_;
};

}  // namespace coil::ssm
