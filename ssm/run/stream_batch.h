// Many streams of one model moved on together: voices, channels, sensors. The weights are read once for all of them,
// and what has no memory runs over streams as it otherwise runs over time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ssm/machine/large_pages.h"
#include "ssm/run/model.h"

namespace coil::ssm {

// One thread at a time. Nothing marked [audio-thread] allocates, locks, throws or calls the system. Each stream gives
// what a Stream of its own gives, up to rounding while streams differ in their controls, else to the bit of a Stream
// that is called in blocks.
class StreamBatch {
 public:
  // A stream, and how many frames it moves on by.
  struct Advance {
    uint32_t stream;
    uint32_t frames;
  };

  // `streams` streams at rest with the card's default controls. `outputs`: the outputs that are wanted of every frame,
  // in this order; none named: all. Takes streams * bytes_per_stream() of memory and a little. [main-thread]
  StreamBatch(std::shared_ptr<const Model> model, size_t streams, std::span<const uint32_t> outputs = {});
  ~StreamBatch();
  StreamBatch(StreamBatch&&) noexcept;
  StreamBatch& operator=(StreamBatch&&) noexcept;

  // More streams at rest, numbered on from size(); those that are there stay where they are. [main-thread]
  void add(size_t streams);

  const Model& model() const noexcept { return *model_; }
  size_t size() const noexcept { return arenas_.size(); }
  size_t width_out() const noexcept { return width_out_; }  // outputs of a frame
  size_t bytes_per_stream() const noexcept { return model_->state_layout()->size * sizeof(float); }

  // Each of the named streams, which differ, by its next frames: in (frames, d_input), out (frames, width_out()), those
  // of one stream after those of the other. However a stream's frames are cut into calls, the results are the same to
  // the bit. As Stream::process else, a stream that leaves the finite numbers starts anew alone. Models that take
  // frames only. [audio-thread]
  void process(std::span<const Advance> streams, std::span<const float> in, std::span<float> out) noexcept;
  // One frame for each of the named streams, which differ. [audio-thread]
  void step(std::span<const uint32_t> streams, std::span<const float> in, std::span<float> out) noexcept;
  // One frame for every stream. [audio-thread]
  void step(std::span<const float> in, std::span<float> out) noexcept;
  // tokens (streams), logits (streams, width_out()). Models that take token ids only. [audio-thread]
  void step_tokens(std::span<const uint32_t> streams, std::span<const int32_t> tokens,
                   std::span<float> logits) noexcept;

  void reset(size_t stream) noexcept;                                        // as Stream::reset [audio-thread]
  void set_controls(size_t stream, std::span<const float> values) noexcept;  // as Model::set_controls [audio-thread]
  void copy_state(size_t stream, State& to) const noexcept;                  // of this model [audio-thread]
  void set_state(size_t stream, const State& from) noexcept;                 // of this model [audio-thread]

  // Since construction, of all streams together. [audio-thread]
  uint64_t non_finite_inputs() const noexcept { return non_finite_inputs_; }
  uint64_t restarts() const noexcept { return restarts_; }
  // How often a state was read and written, for one frame or for several of its stream in a call.
  uint64_t stretches() const noexcept { return stretches_; }
  // Multiply-adds of a frame, without the outputs that are not wanted.
  double macs_per_frame() const noexcept;

 private:
  float* touch(size_t stream) noexcept;  // its arena, to change what its controls ask for
  template <class Advances>
  void run(size_t streams, const Advances& advance, const float* in, const int32_t* tokens, float* out) noexcept;
  void run_block(size_t streams, const float* in, const int32_t* tokens, float* out) noexcept;

  std::shared_ptr<const Model> model_;
  size_t width_out_;
  State rest_;
  std::vector<LargePages> pages_;
  std::vector<float*> arenas_;             // of each stream, in pages_
  std::vector<uint8_t> unchecked_frames_;  // of each stream
  std::vector<uint64_t> film_;             // of each stream: BlockRunner::film after its last step
  std::vector<struct StreamRows> rows_;    // of a block
  std::vector<uint32_t> names_;            // of a block: whose rows they are
  uint64_t non_finite_inputs_ = 0, restarts_ = 0, stretches_ = 0;
  std::unique_ptr<class BlockRunner> runner_;
};

}  // namespace coil::ssm
