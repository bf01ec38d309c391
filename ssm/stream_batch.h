// Many streams of one model stepped together: voices, channels, sensors. The weights are read once for all of them, and what has no
// memory runs over streams as it otherwise runs over time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ssm/model.h"

namespace coil::ssm {

// One thread at a time. Nothing marked [audio-thread] allocates, locks, throws or calls the system. Each stream gives what a Stream of its
// own gives, up to rounding while streams differ in their controls, else to the bit of a Stream that is called in blocks.
class StreamBatch {
 public:
  // `streams` streams at rest with the card's default controls. Takes streams * bytes_per_stream() of memory and a little. [main-thread]
  StreamBatch(std::shared_ptr<const Model> model, size_t streams);
  ~StreamBatch();
  StreamBatch(StreamBatch&&) noexcept;
  StreamBatch& operator=(StreamBatch&&) noexcept;

  const Model& model() const noexcept { return *model_; }
  size_t size() const noexcept { return unchecked_frames_.size(); }
  size_t bytes_per_stream() const noexcept { return model_->state_layout()->size * sizeof(float); }

  // One frame for each of the named streams, which differ: in (streams, d_input), out (streams, d_output). As Stream::process else, a
  // stream that leaves the finite numbers starts anew alone. Models that take frames only. [audio-thread]
  void step(std::span<const uint32_t> streams, std::span<const float> in, std::span<float> out) noexcept;
  // One frame for every stream. [audio-thread]
  void step(std::span<const float> in, std::span<float> out) noexcept;
  // tokens (streams), logits (streams, vocabulary). Models that take token ids only. [audio-thread]
  void step_tokens(std::span<const uint32_t> streams, std::span<const int32_t> tokens, std::span<float> logits) noexcept;

  void reset(size_t stream) noexcept;                                            // as Stream::reset [audio-thread]
  void set_controls(size_t stream, std::span<const float> values) noexcept;      // as Model::set_controls [audio-thread]
  void copy_state(size_t stream, State& to) const noexcept;                      // of this model [audio-thread]
  void set_state(size_t stream, const State& from) noexcept;                     // of this model [audio-thread]

  // Since construction, of all streams together. [audio-thread]
  uint64_t non_finite_inputs() const noexcept { return non_finite_inputs_; }
  uint64_t restarts() const noexcept { return restarts_; }

 private:
  float* touch(size_t stream) noexcept;  // its arena, to change what its controls ask for
  float* arena(size_t stream) noexcept { return arenas_.data() + stream * model_->state_layout()->size; }
  void run(const uint32_t* streams, const float* in, const int32_t* tokens, float* out, size_t n) noexcept;

  std::shared_ptr<const Model> model_;
  State rest_;
  AlignedFloats arenas_;
  std::vector<uint8_t> unchecked_frames_;  // of each stream
  std::vector<uint64_t> film_;             // of each stream: BlockRunner::film after its last step
  std::vector<uint32_t> all_;              // 0, 1, ...
  std::vector<struct StreamRows> rows_;
  uint64_t non_finite_inputs_ = 0, restarts_ = 0;
  std::unique_ptr<class BlockRunner> runner_;
};

}  // namespace coil::ssm
