// ModelStage: channels to the model and back, then its level and gate.
#include "dsp/model_stage.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "dsp/calibration.h"
#include "dsp/decibels.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {
namespace {

constexpr int kMaxPieceFrames = 256;  // the buffers of a piece fit the fastest cache
constexpr float kLevelMs = 20;

}  // namespace

ModelStage::ModelStage(std::shared_ptr<const ssm::Model> model, std::span<const float> controls,
                       const ModelStageSettings& settings)
    : model_(std::move(model), settings.rate_mode),
      settings_(settings),
      full_scale_dbu_(input_full_scale_dbu(model_.model())),
      out_full_scale_dbu_(output_full_scale_dbu(model_.model())),
      level_(db_to_gain(settings.normalisation_db.value_or(0))) {
  model_.set_controls(controls);
}

void ModelStage::prepare(const ProcessSpec& spec) {
  max_block_frames_ = std::clamp(spec.max_block_frames, 1, kMaxPieceFrames);
  joins_ = spec.channels == 2 && settings_.channels != ChannelMode::each && model_.model().config().d_input == 1;
  model_.prepare({spec.sample_rate_hz, max_block_frames_, joins_ ? 1 : spec.channels});
  gate_.prepare(spec.sample_rate_hz);
  gate_.set_threshold_db(settings_.gate_db);
  key_delay_ = DelayLine(std::max(1, latency_frames()), 1);
  key_delay_.set_delay(latency_frames(), true);
  key_ = AudioBuffer(1, max_block_frames_);
  input_ = Ramp(1, static_cast<int>(kLevelMs / 1000 * spec.sample_rate_hz));
  reset();
}

void ModelStage::reset() noexcept {
  model_.reset();
  gate_.reset();
  key_delay_.reset();
  fresh_ = true;
}

std::optional<float> ModelStage::follow_level(std::optional<float> full_scale_dbu) noexcept {
  calibration_ = full_scale_dbu && full_scale_dbu_ ? db_to_gain(*full_scale_dbu - *full_scale_dbu_) : 1;
  if (!full_scale_dbu || settings_.normalisation_db) return std::nullopt;  // a normalised model has no known level
  return out_full_scale_dbu_;
}

void ModelStage::process(AudioBlock block) noexcept {
  input_.set(calibration_, fresh_);
  fresh_ = fresh_ && block.frames == 0;
  in_pieces(block, max_block_frames_, [this](AudioBlock piece) { process_piece(piece); });
}

// The magnitudes that the gate goes by: of what the model hears.
void ModelStage::listen(AudioBlock block, std::span<float> key) const noexcept {
  const float* const first = block.channels[0];
  const float* const last = block.channels[block.channel_count - 1];
  for (size_t i = 0; i < key.size(); ++i) {
    switch (settings_.channels) {
      case ChannelMode::each:
        key[i] = std::max(std::fabs(first[i]), std::fabs(last[i]));
        break;
      case ChannelMode::left:
        key[i] = std::fabs(first[i]);
        break;
      case ChannelMode::right:
        key[i] = std::fabs(last[i]);
        break;
      case ChannelMode::sum:
        key[i] = std::fabs(0.5f * (first[i] + last[i]));
        break;
    }
  }
}

void ModelStage::process_piece(AudioBlock block) noexcept {
  const bool gates = settings_.gate_db > kGateOffDb;
  const std::span<float> key = key_.block(block.frames).channel(0);
  if (gates) {
    listen(block, key);
    key_delay_.process(key);
    gate_.process(key);
  }
  for (int c = 0; c < block.channel_count; ++c) {
    multiply(block.channel(c), input_);
    if (peak(block.channel(c)) > kLoudest) limit(block.channel(c));
  }
  input_.advance(block.frames);
  if (joins_) {
    float* const heard = block.channels[0];
    const float* const other = block.channels[1];
    for (int i = 0; i < block.frames; ++i) {
      if (settings_.channels == ChannelMode::right) heard[i] = other[i];
      if (settings_.channels == ChannelMode::sum) heard[i] = 0.5f * (heard[i] + other[i]);
    }
    model_.process_clean({block.channels, 1, block.frames});
    std::copy_n(heard, block.frames, block.channels[1]);
  } else {
    model_.process_clean(block);
  }
  for (int c = 0; c < block.channel_count; ++c) {
    limit(block.channel(c));
    for (int i = 0; i < block.frames; ++i) block.channels[c][i] *= gates ? level_ * key[i] : level_;
  }
}

}  // namespace coil::dsp
