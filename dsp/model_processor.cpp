// ModelProcessor: one stream per channel or one with interleaved channels, and resampling to the model's rate and back.
#include "dsp/model_processor.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "dsp/denormals.h"
#include "base/error.h"

namespace coil::dsp {
namespace {

// How far the output of both resamplers can fall behind their input. Once there is output, the lag is periodic with the
// first resampler's ratio.
int round_trip_frames(const PolyphaseResampler& to_model, const PolyphaseResampler& from_model) {
  const auto returned = [&](int64_t frames) { return from_model.frames_out(to_model.frames_out(frames)); };
  int64_t frames = 1;
  while (returned(frames) == 0) ++frames;
  int64_t most = frames - 1;
  for (const int64_t end = frames + to_model.down(); frames < end; ++frames)
    most = std::max(most, frames - returned(frames));
  return static_cast<int>(most);
}

}  // namespace

double sample_rate_hz(const ssm::Model& model) {
  return model.card().sample_rate_hz > 0 ? model.card().sample_rate_hz : model.config().sample_rate_hz;
}

bool rescales_steps(const ssm::Model& model, double host_hz, RateMode mode) {
  const double model_hz = sample_rate_hz(model);
  if (model_hz == 0 || std::llround(model_hz) == std::llround(host_hz)) return false;
  const ssm::ModelConfig& config = model.config();
  if (mode == RateMode::steps) return true;
  const bool wanted = mode == RateMode::prefer_steps ||
                      (mode == RateMode::model_default && config.rate_scaling == ssm::RateScaling::steps);
  return wanted && ssm::steps_obstacle(config, host_hz).empty();
}

std::shared_ptr<const ssm::Model> model_for_host(const std::shared_ptr<const ssm::Model>& model, double host_hz,
                                                 RateMode mode) {
  return rescales_steps(*model, host_hz, mode) ? model->at_rate(host_hz) : model;
}

void require_audio_model(const ssm::Model& model) {
  const ssm::ModelConfig& config = model.config();
  if (config.input_kind == ssm::InputKind::token_ids) {
    throw Error(model.source() + ": the model takes token ids, not audio; a model of audio frames is needed");
  }
  if (config.d_input != config.d_output) {
    throw Error(model.source() + ": the model turns " + std::to_string(config.d_input) + " channels into " +
                std::to_string(config.d_output) + "; audio needs a model with as many outputs as inputs");
  }
}

std::vector<ssm::Stream> channel_streams(const std::shared_ptr<const ssm::Model>& model, int channels,
                                         std::span<const float> controls) {
  const int width = model->config().d_input;
  if (width > 1 && channels != width) {
    throw Error(model->source() + ": the model takes " + std::to_string(width) + " channels, the audio has " +
                std::to_string(channels));
  }
  std::vector<ssm::Stream> streams;
  for (int i = 0; i < (width > 1 ? 1 : channels); ++i) streams.emplace_back(model, controls);
  return streams;
}

ModelProcessor::ModelProcessor(std::shared_ptr<const ssm::Model> model, RateMode rate_mode)
    : model_(std::move(model)), rate_mode_(rate_mode) {
  require_audio_model(*model_);
  for (const ssm::Control& control : model_->card().controls)
    controls_.push_back(static_cast<float>(control.default_value));
}

void ModelProcessor::prepare(const ProcessSpec& spec) {
  const int width = model_->config().d_input;
  const std::shared_ptr<const ssm::Model> model = model_for_host(model_, spec.sample_rate_hz, rate_mode_);
  streams_ = channel_streams(model, spec.channels, controls_);
  max_block_frames_ = std::max(1, spec.max_block_frames);
  int max_model_frames = max_block_frames_;
  latency_frames_ = model->card().latency_frames;

  bridges_.clear();
  model_channels_.clear();
  const double model_hz = sample_rate_hz(*model);
  if (model_hz > 0 && std::llround(model_hz) != std::llround(spec.sample_rate_hz)) {
    const PolyphaseResampler to_model(spec.sample_rate_hz, model_hz, max_block_frames_);
    max_model_frames = to_model.max_frames_out();
    const PolyphaseResampler from_model(model_hz, spec.sample_rate_hz, max_model_frames);
    bridge_latency_frames_ = round_trip_frames(to_model, from_model);
    const Bridge bridge{to_model, from_model, std::vector<float>(max_model_frames),
                        std::vector<float>(bridge_latency_frames_ + from_model.max_frames_out()),
                        bridge_latency_frames_};
    bridges_.assign(spec.channels, bridge);
    for (Bridge& each : bridges_) model_channels_.push_back(each.model_frames.data());
    latency_frames_ =
        bridge_latency_frames_ + static_cast<int>(std::lround(latency_frames_ * spec.sample_rate_hz / model_hz));
  }

  faults_ = {};
  interleaved_.assign(width > 1 ? static_cast<size_t>(max_model_frames) * width : 0, 0.0f);
}

void ModelProcessor::reset() noexcept {
  for (ssm::Stream& stream : streams_) stream.reset();
  for (Bridge& bridge : bridges_) {
    bridge.to_model.reset();
    bridge.from_model.reset();
    std::fill(bridge.queue.begin(), bridge.queue.end(), 0.0f);
    bridge.queued = bridge_latency_frames_;
  }
}

void ModelProcessor::set_controls(std::span<const float> values) noexcept {
  std::copy_n(values.begin(), std::min(values.size(), controls_.size()), controls_.begin());
  for (ssm::Stream& stream : streams_) stream.set_controls(controls_);
}

uint64_t ModelProcessor::restarts() const noexcept {
  uint64_t count = 0;
  for (const ssm::Stream& stream : streams_) count += stream.restarts();
  return count;
}

void ModelProcessor::process(AudioBlock block) noexcept {
  const ScopedFlushDenormals flush;
  for (int c = 0; c < block.channel_count; ++c) drop_faults(block.channel(c), faults_);
  if (bridges_.empty()) {
    run(block);
    return;
  }
  for (int begin = 0; begin < block.frames; begin += max_block_frames_) {
    run_resampled(block, begin, std::min(max_block_frames_, block.frames - begin));
  }
}

void ModelProcessor::run(AudioBlock block) noexcept {
  if (interleaved_.empty()) {
    for (int c = 0; c < block.channel_count; ++c) streams_[c].process(block.channel(c), block.channel(c));
    return;
  }
  const int width = block.channel_count;
  const int most = static_cast<int>(interleaved_.size()) / width;
  for (int begin = 0; begin < block.frames; begin += most) {
    const int n = std::min(most, block.frames - begin);
    for (int c = 0; c < width; ++c) {
      for (int i = 0; i < n; ++i) interleaved_[static_cast<size_t>(i) * width + c] = block.channels[c][begin + i];
    }
    const std::span<float> frames(interleaved_.data(), static_cast<size_t>(n) * width);
    streams_[0].process(frames, frames);
    for (int c = 0; c < width; ++c) {
      for (int i = 0; i < n; ++i) block.channels[c][begin + i] = interleaved_[static_cast<size_t>(i) * width + c];
    }
  }
}

void ModelProcessor::run_resampled(AudioBlock block, int begin, int frames) noexcept {
  int model_frames = 0;
  for (int c = 0; c < block.channel_count; ++c) {
    const std::span<const float> samples(block.channels[c] + begin, static_cast<size_t>(frames));
    model_frames = bridges_[c].to_model.process(samples, model_channels_[c]);
  }
  run({model_channels_.data(), block.channel_count, model_frames});
  for (int c = 0; c < block.channel_count; ++c) {
    Bridge& bridge = bridges_[c];
    bridge.queued += bridge.from_model.process({model_channels_[c], static_cast<size_t>(model_frames)},
                                               bridge.queue.data() + bridge.queued);
    std::copy_n(bridge.queue.begin(), frames, block.channels[c] + begin);
    std::copy(bridge.queue.begin() + frames, bridge.queue.begin() + bridge.queued, bridge.queue.begin());
    bridge.queued -= frames;
  }
}

}  // namespace coil::dsp
