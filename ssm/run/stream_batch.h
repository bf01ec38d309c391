// Advances many streams of one model together: voices, channels, sensors. Weights are read once for all of them. Parts
// without memory run over streams as they otherwise run over time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ssm/machine/large_pages.h"
#include "ssm/run/model.h"

namespace coil::ssm {

// One thread at a time. Each stream gives the result of a separate Stream: equal up to rounding while streams differ in
// their controls, else bit-identical to a Stream that is called in blocks.
class StreamBatch {
 public:
  // A stream, and how many frames to advance it.
  struct Advance {
    uint32_t stream;
    uint32_t frames;
  };

  // `streams` settled streams with the card's default controls. `outputs`: the wanted outputs of each frame, in this
  // order; empty: all. Uses streams * bytes_per_stream() of memory and a little more. [main-thread]
  StreamBatch(std::shared_ptr<const Model> model, size_t streams, std::span<const uint32_t> outputs = {});
  ~StreamBatch();
  StreamBatch(StreamBatch&&) noexcept;
  StreamBatch& operator=(StreamBatch&&) noexcept;

  // Adds settled streams, numbered from size() on. Existing streams do not move. [main-thread]
  void add(size_t streams);

  const Model& model() const noexcept { return *model_; }
  size_t size() const noexcept { return arenas_.size(); }
  size_t width_out() const noexcept { return width_out_; }  // outputs per frame
  size_t bytes_per_stream() const noexcept { return model_->state_layout()->size * sizeof(float); }

  // Advances each of the named streams, which must be different, by its next frames: in (frames, d_input), out (frames,
  // width_out()), stream after stream. The results are bit-identical however a stream's frames are split into calls. As
  // in Stream::process, a stream that becomes non-finite restarts; the others are not affected. Only for models that
  // take frames. [audio-thread]
  void process(std::span<const Advance> streams, std::span<const float> in, std::span<float> out) noexcept;
  // One frame for each of the named streams, which must be different. [audio-thread]
  void step(std::span<const uint32_t> streams, std::span<const float> in, std::span<float> out) noexcept;
  // One frame for every stream. [audio-thread]
  void step(std::span<const float> in, std::span<float> out) noexcept;
  // tokens (streams), logits (streams, width_out()). Only for models that take token ids. [audio-thread]
  void step_tokens(std::span<const uint32_t> streams, std::span<const int32_t> tokens,
                   std::span<float> logits) noexcept;

  void reset(size_t stream) noexcept;                                        // see Stream::reset [audio-thread]
  void set_controls(size_t stream, std::span<const float> values) noexcept;  // see Model::set_controls [audio-thread]
  void copy_state(size_t stream, State& to) const noexcept;                  // a state of this model [audio-thread]
  void set_state(size_t stream, const State& from) noexcept;                 // a state of this model [audio-thread]

  // Counted since construction, over all streams. [audio-thread]
  uint64_t non_finite_inputs() const noexcept { return non_finite_inputs_; }
  uint64_t restarts() const noexcept { return restarts_; }
  // How often a state was read and written; several frames of a stream in one call count once.
  uint64_t stretches() const noexcept { return stretches_; }
  // Multiply-adds per frame, without unwanted outputs.
  double macs_per_frame() const noexcept;

 private:
  float* touch(size_t stream) noexcept;  // its arena, for changes of its controls
  template <class Advances>
  void run(size_t streams, const Advances& advance, const float* in, const int32_t* tokens, float* out) noexcept;
  void run_block(size_t streams, const float* in, const int32_t* tokens, float* out) noexcept;

  std::shared_ptr<const Model> model_;
  size_t width_out_;
  State rest_;
  std::vector<LargePages> pages_;
  std::vector<float*> arenas_;             // one per stream, in pages_
  std::vector<uint8_t> unchecked_frames_;  // one per stream
  std::vector<uint64_t> film_;             // one per stream: BlockRunner::film after its last step
  std::vector<struct StreamRows> rows_;    // of the current block
  std::vector<uint32_t> names_;            // the stream of each entry of rows_
  uint64_t non_finite_inputs_ = 0, restarts_ = 0, stretches_ = 0;
  std::unique_ptr<class BlockRunner> runner_;
};

}  // namespace coil::ssm
