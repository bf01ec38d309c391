// ModelAdapter: chooses the front end and runs the model's streams.
#include "dsp/model_adapter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "dsp/denormals.h"
#include "dsp/interleave.h"

namespace coil::dsp {
namespace {

double model_rate_hz(const ssm::Model& model, double host_hz) {
  const double stated_hz = sample_rate_hz(model);
  return stated_hz > 0 ? stated_hz : host_hz;
}

// In the settled state. Throws Error if the numbers of channels do not fit.
std::vector<ssm::Stream> channel_streams(const std::shared_ptr<const ssm::Model>& model, const AdapterSpec& spec) {
  const int width = model->config().d_input;
  if (width > 1 && spec.channels != width) {
    throw Error(model->source() + ": the model takes " + std::to_string(width) + " channels, the audio has " +
                std::to_string(spec.channels));
  }
  const ScopedFlushDenormals flush;
  std::vector<ssm::Stream> streams;
  for (int i = 0; i < (width > 1 ? 1 : spec.channels); ++i) streams.emplace_back(model, spec.controls);
  return streams;
}

// The frames from `begin` on, at most `most`.
AudioBlock part(AudioBlock block, int begin, int most, std::vector<float*>& pointers) noexcept {
  for (int c = 0; c < block.channel_count; ++c) pointers[static_cast<size_t>(c)] = block.channels[c] + begin;
  return {pointers.data(), block.channel_count, std::min(most, block.frames - begin)};
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

ModelAdapter ModelAdapter::live(const std::shared_ptr<const ssm::Model>& model, const AdapterSpec& spec,
                                int max_frames) {
  require_audio_model(*model);
  const std::shared_ptr<const ssm::Model> at_rate = model_for_host(model, spec.sample_rate_hz, spec.rate_mode);
  const double model_hz = model_rate_hz(*at_rate, spec.sample_rate_hz);
  std::unique_ptr<FrontEnd> front_end = std::make_unique<NoFrontEnd>();
  const bool wide = model->config().d_input > 1;
  // Only a wide model needs a buffer, for interleaving.
  int block_frames = wide ? max_frames : std::numeric_limits<int>::max();
  int latency_frames = at_rate->card().latency_frames;
  if (std::llround(model_hz) != std::llround(spec.sample_rate_hz)) {
    front_end = std::make_unique<LiveResampling>(spec.sample_rate_hz, model_hz, max_frames, spec.channels);
    block_frames = front_end->max_model_frames();
    latency_frames = static_cast<int>(std::lround(latency_frames * spec.sample_rate_hz / model_hz));
  }
  ModelAdapter adapter(std::move(front_end), at_rate, spec, nullptr, block_frames);
  adapter.latency_frames_ = adapter.front_end_->latency_frames() + latency_frames;
  if (wide) adapter.interleaved_.resize(static_cast<size_t>(block_frames) * spec.channels);
  return adapter;
}

ModelAdapter ModelAdapter::recording(const std::shared_ptr<const ssm::Model>& model, const AdapterSpec& spec,
                                     double output_rate_hz, std::shared_ptr<ssm::Executor> executor, int block_frames) {
  require_audio_model(*model);
  const std::shared_ptr<const ssm::Model> at_rate = model_for_host(model, spec.sample_rate_hz, spec.rate_mode);
  const double model_hz = model_rate_hz(*at_rate, spec.sample_rate_hz);
  auto front_end = std::make_unique<RecordingFrontEnd>(spec.sample_rate_hz, model_hz, output_rate_hz, spec.channels,
                                                       at_rate->card().latency_frames);
  return ModelAdapter(std::move(front_end), at_rate, spec, std::move(executor), block_frames);
}

ModelAdapter::ModelAdapter(std::unique_ptr<FrontEnd> front_end, const std::shared_ptr<const ssm::Model>& model,
                           const AdapterSpec& spec, std::shared_ptr<ssm::Executor> executor, int block_frames)
    : front_end_(std::move(front_end)),
      streams_(channel_streams(model, spec)),
      wide_(model->config().d_input > 1),
      executor_(std::move(executor)),
      block_frames_(block_frames),
      out_(executor_ ? streams_.size() : 0),
      pointers_(static_cast<size_t>(spec.channels)) {}

AudioBlock ModelAdapter::process(AudioBlock audio) {
  const ScopedFlushDenormals flush;
  // Clean before resampling: the resampler would spread one NaN over everything after it.
  for (int c = 0; c < audio.channel_count; ++c) drop_faults(audio.channel(c), faults_);
  return process_clean(audio);
}

AudioBlock ModelAdapter::process_clean(AudioBlock audio) {
  const AudioBlock frames = front_end_->to_model(audio);
  run(frames);
  return front_end_->from_model(frames);
}

void ModelAdapter::run(AudioBlock frames) {
  for (int begin = 0; begin < frames.frames;) {
    const AudioBlock piece = part(frames, begin, block_frames_, pointers_);
    begin += piece.frames;
    if (!wide_) {
      run_streams(piece);
      continue;
    }
    const size_t values = static_cast<size_t>(piece.frames) * piece.channel_count;
    if (interleaved_.size() < values) interleaved_.resize(values);  // only over recordings
    interleave(piece, interleaved_.data());
    float* const channel = interleaved_.data();
    run_streams({&channel, 1, static_cast<int>(values)});
    separate(interleaved_.data(), piece);
  }
}

void ModelAdapter::run_streams(AudioBlock values) {
  if (!executor_) {
    if (streams_.size() == 2) {
      const std::span<float> first = values.channel(0), second = values.channel(1);
      ssm::Stream::process_pair(streams_[0], streams_[1], {first, first}, {second, second});
      return;
    }
    for (size_t s = 0; s < streams_.size(); ++s) {
      const std::span<float> own = values.channel(static_cast<int>(s));
      streams_[s].process(own, own);
    }
    return;
  }
  stretches_.clear();
  for (size_t s = 0; s < streams_.size(); ++s) {
    const std::span<float> own = values.channel(static_cast<int>(s));
    out_[s].resize(own.size());
    stretches_.push_back({&streams_[s], own, out_[s]});
  }
  executor_->run(stretches_);
  for (size_t s = 0; s < streams_.size(); ++s) std::ranges::copy(out_[s], values.channels[s]);
}

void ModelAdapter::reset() noexcept {
  for (ssm::Stream& stream : streams_) stream.reset();
  front_end_->reset();
}

void ModelAdapter::set_controls(std::span<const float> values) noexcept {
  for (ssm::Stream& stream : streams_) stream.set_controls(values);
}

uint64_t ModelAdapter::restarts() const noexcept {
  uint64_t count = 0;
  for (const ssm::Stream& stream : streams_) count += stream.restarts();
  return count;
}

}  // namespace coil::dsp
