// A list of stages, live and offline: runs them in order, and changes from one list to another without a click.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "dsp/audio_buffer.h"
#include "dsp/chain_stage.h"
#include "dsp/handover.h"
#include "dsp/processor.h"
#include "dsp/ramp.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {

// For 1 or 2 channels. Latencies add up.
//
// While a chain plays, another thread may make it play another list with play(). Stages that are in both lists go on;
// what lies between them is cross-faded: the new stages first run unheard, while their input fades in, so that no part
// of a response starts abruptly, until their latency has passed and for kWarmUpMs.
class Chain final : public AudioProcessor {
 public:
  using Stages = std::vector<std::shared_ptr<ChainStage>>;

  static constexpr float kWarmUpMs = 20, kFadeMs = 25;

  explicit Chain(std::vector<Stage> stages);

  // Throws Error that names the stage. [main-thread]
  void prepare(const ProcessSpec& spec) override;
  // The same with stages that are prepared for stage_spec(spec). [main-thread], while process() is not running.
  void prepare(const ProcessSpec& spec, Stages stages);
  static ProcessSpec stage_spec(const ProcessSpec& spec) noexcept;

  // A list that the audio thread plays, has played or will play.
  struct Order {
    // Stages of the previous list that end at one that goes on, and those that play there now.
    struct Part {
      size_t old_begin, old_end, begin, end;
    };
    Stages stages;
    std::vector<Part> parts;
    Order* given_back_before = nullptr;  // for Handover
  };
  // Plays `stages`, prepared for stage_spec(): new ones, and ones of stages() in the order that they have there.
  // Returns a list that was never heard, for the caller to free. [any thread but the audio thread], one at a time
  std::unique_ptr<Order> play(Stages stages);
  const Stages& stages() const noexcept { return latest_; }  // as last set; as play()
  void collect() { handover_->collect(); }  // frees what is played no more [any thread but the audio thread]

  // What full scale is at the input, see AudioProcessor::follow_level. [audio-thread], or before playing
  void set_full_scale_dbu(std::optional<float> dbu) noexcept { full_scale_dbu_ = dbu; }

  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  // process() for callers that have flushed denormals and dropped faults themselves. [audio-thread]
  void process_clean(AudioBlock block) noexcept;
  int latency_frames() const noexcept override;  // of stages()
  int current_latency_frames() const noexcept override;
  std::optional<float> follow_level(std::optional<float> full_scale_dbu) noexcept override;
  uint64_t restarts() const noexcept override;

  const InputFaults& input_faults() const noexcept { return faults_; }  // of process(), since construction

  // Of a chain whose list does not change.
  size_t size() const noexcept { return latest_.size(); }
  AudioProcessor& processor(size_t stage) noexcept { return latest_[stage]->processor(); }
  void set_mix(size_t stage, float mix) noexcept { latest_[stage]->settings().mix = mix; }
  void set_bypassed(size_t stage, bool bypassed) noexcept { latest_[stage]->settings().on = !bypassed; }

 private:
  void take() noexcept;
  void compare() noexcept;
  void end_fade() noexcept;
  void process_piece(AudioBlock piece) noexcept;
  void fade_part(const Order::Part& part, AudioBlock piece) noexcept;

  Stages latest_;
  std::unique_ptr<Handover<Order>> handover_;

  // Used only by the audio thread.
  std::unique_ptr<Order> now_, leaving_;
  Ramp fade_;     // 1: only `leaving_` is heard
  Ramp fade_in_;  // of new stages' input
  int warm_up_frames_ = 0;
  std::optional<float> full_scale_dbu_;
  uint64_t ended_restarts_ = 0;  // of stages that have left
  bool fresh_ = true;            // no sound was processed yet: a new list is played at once
  AudioBuffer dry_, old_;
  int max_piece_frames_ = 1;
  InputFaults faults_;
};

}  // namespace coil::dsp
