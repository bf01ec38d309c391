// OfflineProcessor: resamples, runs the model, removes its latency, and resamples back.
#include "dsp/offline_processor.h"

#include <algorithm>
#include <cmath>

#include "dsp/denormals.h"
#include "dsp/sample_faults.h"

namespace coil::dsp {
namespace {

constexpr int kFinishFrames = 4096;  // silence is fed in pieces of this size until the last frames have come out

}  // namespace

OfflineProcessor::OfflineProcessor(const std::shared_ptr<const ssm::Model>& model, double sample_rate_hz, int channels,
                                   int block_frames, std::span<const float> controls, RateMode rate_mode,
                                   std::shared_ptr<ssm::Executor> executor, double output_rate_hz)
    : executor_(executor ? std::move(executor) : std::make_shared<ssm::BlockExecutor>()),
      sample_rate_hz_(sample_rate_hz),
      output_rate_hz_(output_rate_hz > 0 ? output_rate_hz : sample_rate_hz),
      channels_(channels),
      block_frames_(block_frames) {
  require_audio_model(*model);
  const std::shared_ptr<const ssm::Model> at_rate = model_for_host(model, sample_rate_hz, rate_mode);
  const double stated_hz = dsp::sample_rate_hz(*at_rate);
  const double model_hz = stated_hz > 0 ? stated_hz : sample_rate_hz;
  if (model_hz != sample_rate_hz_) to_model_.emplace(sample_rate_hz_, model_hz, channels);
  if (model_hz != output_rate_hz_) from_model_.emplace(model_hz, output_rate_hz_, channels);
  const ScopedFlushDenormals flush;
  streams_ = channel_streams(at_rate, channels, controls);
  latency_left_ = at_rate->card().latency_frames;
  in_.resize(streams_.size());
  out_.resize(streams_.size());
}

void OfflineProcessor::process(std::span<const float> in, std::vector<float>& out) {
  frames_in_ += static_cast<int64_t>(in.size()) / channels_;
  run(in, out);
}

void OfflineProcessor::finish(std::vector<float>& out) {
  // Feed silence after the end instead of draining the resampler: the model's response to it belongs to the filter
  // tails of the last frames.
  const std::vector<float> silence(static_cast<size_t>(std::min(block_frames_, kFinishFrames)) * channels_);
  while (frames_out_ < output_frames(frames_in_, sample_rate_hz_, output_rate_hz_)) run(silence, out);
}

int64_t OfflineProcessor::output_frames(int64_t frames, double sample_rate_hz, double output_rate_hz) {
  return sample_rate_hz == output_rate_hz ? frames
                                          : std::llround(static_cast<double>(frames) * output_rate_hz / sample_rate_hz);
}

void OfflineProcessor::run(std::span<const float> in, std::vector<float>& out) {
  // Clean before resampling: the resampler would spread one NaN over everything after it.
  clean_.assign(in.begin(), in.end());
  drop_faults(clean_, faults_);
  model_frames_.clear();
  if (to_model_) {
    to_model_->process(clean_, model_frames_);
  } else {
    model_frames_.swap(clean_);
  }

  run_model();

  const int64_t frames = static_cast<int64_t>(model_frames_.size()) / channels_;
  const int64_t dropped = std::min(latency_left_, frames);
  latency_left_ -= dropped;
  std::span<const float> ready =
      std::span<const float>(model_frames_).subspan(static_cast<size_t>(dropped) * channels_);
  if (from_model_) {
    resampled_.clear();
    from_model_->process(ready, resampled_);
    ready = resampled_;
  }
  const int64_t emitted = std::min<int64_t>(static_cast<int64_t>(ready.size()) / channels_,
                                            output_frames(frames_in_, sample_rate_hz_, output_rate_hz_) - frames_out_);
  out.insert(out.end(), ready.begin(), ready.begin() + emitted * channels_);
  frames_out_ += emitted;
}

void OfflineProcessor::run_model() {
  const ScopedFlushDenormals flush;
  const size_t count = streams_.size();  // one stream for all channels, or one per channel
  const size_t frames = model_frames_.size() / channels_;
  std::vector<ssm::Stretch> stretches;
  for (size_t begin = 0; begin < frames; begin += static_cast<size_t>(block_frames_)) {
    float* block = model_frames_.data() + begin * channels_;
    const size_t values = std::min(static_cast<size_t>(block_frames_), frames - begin) * channels_ / count;
    stretches.clear();
    for (size_t s = 0; s < count; ++s) {
      in_[s].resize(values);
      out_[s].resize(values);
      for (size_t i = 0; i < values; ++i) in_[s][i] = block[i * count + s];
      stretches.push_back({&streams_[s], in_[s], out_[s]});
    }
    executor_->run(stretches);
    for (size_t s = 0; s < count; ++s) {
      for (size_t i = 0; i < values; ++i) block[i * count + s] = out_[s][i];
    }
  }
}

uint64_t OfflineProcessor::restarts() const {
  uint64_t count = 0;
  for (const ssm::Stream& stream : streams_) count += stream.restarts();
  return count;
}

}  // namespace coil::dsp
