// ModelProcessor: guards around ssm::Stream, and the two ways of laying channels out.
#include "dsp/model_processor.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "dsp/denormals.h"
#include "ssm/error.h"

namespace coil::dsp {

double sample_rate_hz(const ssm::Model& model) {
  return model.card().sample_rate_hz > 0 ? model.card().sample_rate_hz : model.config().sample_rate_hz;
}

int64_t replace_non_finite(std::span<float> samples) noexcept {
  int64_t count = 0;
  for (float& sample : samples) {
    if (!std::isfinite(sample)) {
      sample = 0;
      ++count;
    }
  }
  return count;
}

ModelProcessor::ModelProcessor(std::shared_ptr<const ssm::Model> model) : model_(std::move(model)) {
  const ssm::ModelConfig& config = model_->config();
  if (config.input_kind == ssm::InputKind::token_ids) {
    throw ssm::Error(model_->source() + ": the model takes token ids, not audio; a model of audio frames is needed");
  }
  if (config.d_input != config.d_output) {
    throw ssm::Error(model_->source() + ": the model turns " + std::to_string(config.d_input) + " channels into " +
                     std::to_string(config.d_output) + "; audio needs a model with as many outputs as inputs");
  }
  for (const ssm::Control& control : model_->card().controls) controls_.push_back(static_cast<float>(control.default_value));
}

void ModelProcessor::prepare(const ProcessSpec& spec) {
  const int width = model_->config().d_input;
  if (width > 1 && spec.channels != width) {
    throw ssm::Error(model_->source() + ": the model takes " + std::to_string(width) + " channels, the audio has " +
                     std::to_string(spec.channels));
  }
  const double model_rate_hz = sample_rate_hz(*model_);
  if (model_rate_hz > 0 && spec.sample_rate_hz != model_rate_hz) {
    throw ssm::Error(model_->source() + ": the model runs at " + std::to_string(model_rate_hz) + " Hz, the audio at " +
                     std::to_string(spec.sample_rate_hz) + " Hz");
  }
  max_block_frames_ = std::max(1, spec.max_block_frames);
  streams_.clear();
  for (int i = 0; i < (width > 1 ? 1 : spec.channels); ++i) {
    streams_.emplace_back(model_);
    streams_.back().set_controls(controls_);
  }
  interleaved_.assign(width > 1 ? static_cast<size_t>(max_block_frames_) * width : 0, 0.0f);
  non_finite_samples_ = 0;
  state_resets_ = 0;
}

void ModelProcessor::reset() noexcept {
  for (ssm::Stream& stream : streams_) stream.reset();
}

void ModelProcessor::set_controls(std::span<const float> values) noexcept {
  std::copy_n(values.begin(), std::min(values.size(), controls_.size()), controls_.begin());
  for (ssm::Stream& stream : streams_) stream.set_controls(controls_);
}

int ModelProcessor::latency_frames() const noexcept { return model_->card().latency_frames; }

void ModelProcessor::run(ssm::Stream& stream, std::span<float> frames) noexcept {
  non_finite_samples_ += replace_non_finite(frames);
  stream.process(frames, frames);
  // A bounded activation can hide a state that has overflowed, so the output alone does not tell.
  if (replace_non_finite(frames) > 0 || !stream.state().is_finite()) {
    stream.reset();
    ++state_resets_;
  }
}

void ModelProcessor::process(AudioBlock block) noexcept {
  const ScopedFlushDenormals flush;
  if (interleaved_.empty()) {
    for (int c = 0; c < block.channel_count; ++c) {
      for (int begin = 0; begin < block.frames; begin += max_block_frames_) {
        const int n = std::min(max_block_frames_, block.frames - begin);
        run(streams_[c], {block.channels[c] + begin, static_cast<size_t>(n)});
      }
    }
    return;
  }
  const int width = block.channel_count;
  for (int begin = 0; begin < block.frames; begin += max_block_frames_) {
    const int n = std::min(max_block_frames_, block.frames - begin);
    for (int c = 0; c < width; ++c) {
      for (int i = 0; i < n; ++i) interleaved_[static_cast<size_t>(i) * width + c] = block.channels[c][begin + i];
    }
    run(streams_[0], {interleaved_.data(), static_cast<size_t>(n) * width});
    for (int c = 0; c < width; ++c) {
      for (int i = 0; i < n; ++i) block.channels[c][begin + i] = interleaved_[static_cast<size_t>(i) * width + c];
    }
  }
}

}  // namespace coil::dsp
