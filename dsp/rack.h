// The chain that a player hears: gain, gate, two model slots, level normalisation, mix, gain, bypass; models change without a click.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "dsp/model_processor.h"
#include "dsp/processor.h"

namespace coil::dsp {

inline constexpr int kSlots = 2, kMaxRackControls = 16;

// How the input's channels reach a model of one channel.
enum class ChannelMode { each, left, right, sum };

// What may be set while the sound goes on. Written by any thread, read once a block; what would click moves within a few milliseconds.
struct RackSettings {
  std::atomic<float> input_db{0}, output_db{0};
  std::atomic<float> mix{1};              // 0: dry, 1: the model
  std::atomic<float> gate_db{-100};       // threshold, dBFS at the model's input; at or below kGateOffDb: no gate
  std::atomic<bool> normalise{true};      // each model to the same loudness
  std::atomic<bool> bypass{false};
  std::atomic<ChannelMode> channels{ChannelMode::each};
  std::atomic<int> active_slot{0};
  std::array<std::array<std::atomic<float>, kMaxRackControls>, kSlots> controls{};  // in the card's units and order
};

inline constexpr float kGateOffDb = -100;

// What a meter shows. Written by the audio thread, read by any.
struct RackMeters {
  std::array<std::atomic<float>, 2> input_peak{}, output_peak{};  // highest magnitude since the reader's exchange(0)
  std::atomic<float> gate_gain{1};
};

class Rack final : public AudioProcessor {
 public:
  Rack();
  ~Rack() override;

  RackSettings& settings() noexcept { return settings_; }
  RackMeters& meters() noexcept { return meters_; }

  // Makes the slot play `model` (null: pass the sound through), cross-faded; what played before is freed by a later collect(). Throws
  // ssm::Error if the model cannot serve the spec; the slot keeps what it had. Any number of calls between two blocks: the last one
  // counts. Sets the slot's controls to `controls` (none: the card's defaults). [any thread but the audio thread]
  void load(int slot, std::shared_ptr<const ssm::Model> model, std::span<const float> controls = {});
  std::shared_ptr<const ssm::Model> model(int slot) const;  // as last loaded [any thread but the audio thread]

  // Frees what the audio thread has given back. [any thread but the audio thread]
  void collect();

  // Serves 1 or 2 channels. Keeps the models, which begin anew. [main-thread, while process() is not running]
  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;

  // The longest of the slots' latencies: switching between them changes nothing. It changes with load(), at once for the caller. [any thread]
  int latency_frames() const noexcept override;

  // What the active slot's layers hold; see ssm::Stream::observe. Written now and then by the audio thread. [any thread]
  // Returns how many layers there are, at most out.size().
  size_t observe(std::span<ssm::LayerActivity> out) const noexcept;

  // Of all models since prepare(). [any thread]
  uint64_t non_finite_inputs() const noexcept;
  uint64_t restarts() const noexcept;
};

}  // namespace coil::dsp
