// A model as a stage of a chain, with what belongs to it: channels, loudness, and a gate that listens to its input.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dsp/audio_buffer.h"
#include "dsp/channel_mode.h"
#include "dsp/delay_line.h"
#include "dsp/model_processor.h"
#include "dsp/noise_gate.h"
#include "dsp/ramp.h"

namespace coil::dsp {

struct ModelStageSettings {
  RateMode rate_mode = RateMode::model_default;
  ChannelMode channels = ChannelMode::each;
  std::optional<float> normalisation_db;  // gain of what comes out; empty: not normalised
  float gate_db = kGateOffDb;             // as RackSettings
};

// The same sound as a slot of the rack and the gate behind it.
class ModelStage final : public AudioProcessor {
 public:
  // `controls` as ModelProcessor::set_controls. Throws as ModelProcessor does. [any thread but the audio thread]
  ModelStage(std::shared_ptr<const ssm::Model> model, std::span<const float> controls,
             const ModelStageSettings& settings);

  void prepare(const ProcessSpec& spec) override;
  void reset() noexcept override;
  void process(AudioBlock block) noexcept override;
  int latency_frames() const noexcept override { return model_.latency_frames(); }
  // Gives the model the level that its card states.
  std::optional<float> follow_level(std::optional<float> full_scale_dbu) noexcept override;
  uint64_t restarts() const noexcept override { return model_.restarts(); }

 private:
  void process_piece(AudioBlock block) noexcept;
  void listen(AudioBlock block, std::span<float> key) const noexcept;

  ModelProcessor model_;
  ModelStageSettings settings_;
  std::optional<float> full_scale_dbu_, out_full_scale_dbu_;  // at the model's input and output, as its card states
  float calibration_ = 1;                                     // what the gain of the input should be
  Ramp input_;
  float level_ = 1;
  bool fresh_ = true;   // no sound was processed yet: the level takes effect at once
  bool joins_ = false;  // the model runs once, for both channels
  int max_block_frames_ = 1;
  NoiseGate gate_;
  DelayLine key_delay_{1, 1};
  AudioBuffer key_;
};

}  // namespace coil::dsp
