// A model and one state: processes one signal, frame by frame or in blocks of any size.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "ssm/run/model.h"

namespace coil::ssm {

class RowThreads;

// One thread at a time.
class Stream {
 public:
  // Starts in the settled state for these controls (see set_controls; default: the card's). [main-thread]
  explicit Stream(std::shared_ptr<const Model> model, std::span<const float> controls = {});
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;

  const Model& model() const noexcept { return *model_; }
  State& state() noexcept { return state_; }
  const State& state() const noexcept { return state_; }

  // Clears the signal and keeps the controls: restores the settled state of the constructor. [audio-thread]
  void reset() noexcept { model_->reset(state_, &rest_); }
  // See Model::set_controls. [audio-thread]
  void set_controls(std::span<const float> values) noexcept { model_->set_controls(state_, values); }

  // Interleaved frames: in (frames, d_input), out (frames, d_output); in == out is allowed if the widths are equal. The
  // output does not depend on how the signal is split into calls. A non-finite input reads as 0. If an output or the
  // state (checked every 64 frames) becomes non-finite, the block is silent and the stream restarts. Only for models
  // that take frames. [audio-thread]
  void process(std::span<const float> in, std::span<float> out) noexcept;
  void step(std::span<const float> frame_in, std::span<float> frame_out) noexcept { process(frame_in, frame_out); }

  // The same for two streams of one model, side by side if that costs less than one after the other. Equal to the bit
  // as long as their controls are, else up to rounding. [audio-thread]
  struct Frames {
    std::span<const float> in;
    std::span<float> out;
  };
  static void process_pair(Stream& first, Stream& second, const Frames& of_first, const Frames& of_second) noexcept;

  // tokens (frames), logits (rows, vocabulary) of the last rows, as many as `logits` has room for. One row is enough to
  // continue after a prompt. Only for models that take token ids; an id outside the vocabulary reads as 0.
  // [audio-thread]
  void process_tokens(std::span<const int32_t> tokens, std::span<float> logits) noexcept;

  // From now on, these threads share the large products of process_tokens; null: none. The results are the same to the
  // bit. Not for the audio thread: waiting for other threads takes a time that nobody can promise. [main-thread]
  void use_threads(RowThreads* threads) noexcept { threads_ = threads; }

  // From now on, each block ends by writing the activity of the first activity.size() layers with memory; empty: not
  // written. It costs about as much as reading the state once, so hosts should watch only now and then. [audio-thread]
  void watch(std::span<LayerActivity> activity) noexcept;

  // Counted since construction: input values that were replaced, and restarts after a non-finite state. [audio-thread]
  uint64_t non_finite_inputs() const noexcept { return non_finite_inputs_; }
  uint64_t restarts() const noexcept { return restarts_; }

 private:
  void settle();
  void run(const float* frames, const int32_t* tokens, float* out, size_t n, size_t skip) noexcept;
  // The last `wanted` of n rows, with the check of outputs and state.
  void deliver(const float* output, size_t n, size_t wanted, float* out) noexcept;

  std::shared_ptr<const Model> model_;
  State state_, rest_;
  uint64_t non_finite_inputs_ = 0, restarts_ = 0;
  size_t unchecked_frames_ = 0;
  std::unique_ptr<class BlockRunner> runner_;
  RowThreads* threads_ = nullptr;
};

}  // namespace coil::ssm
