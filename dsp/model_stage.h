// A model as a stage of a chain, with what belongs to it: channels, loudness, and a gate that listens to its input.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "dsp/audio_buffer.h"
#include "dsp/channel_mode.h"
#include "dsp/delay_line.h"
#include "dsp/model_processor.h"
#include "dsp/noise_gate.h"

namespace coil::dsp {

struct ModelStageSettings {
  RateMode rate_mode = RateMode::model_default;
  ChannelMode channels = ChannelMode::each;
  float input_db = 0;          // before the model; the gate does not hear it
  float level_db = 0;          // of what comes out
  float gate_db = kGateOffDb;  // as RackSettings
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
  uint64_t restarts() const noexcept override { return model_.restarts(); }

 private:
  void process_piece(AudioBlock block) noexcept;
  void listen(AudioBlock block, std::span<float> key) const noexcept;

  ModelProcessor model_;
  ModelStageSettings settings_;
  float input_ = 1, level_ = 1;
  bool joins_ = false;  // the model runs once, for both channels
  int max_block_frames_ = 1;
  NoiseGate gate_;
  DelayLine key_delay_{1, 1};
  AudioBuffer key_;
};

}  // namespace coil::dsp
