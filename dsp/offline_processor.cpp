// OfflineProcessor: resample, run the model, drop its latency, resample back.
#include "dsp/offline_processor.h"

#include <algorithm>
#include <cmath>

namespace coil::dsp {

OfflineProcessor::OfflineProcessor(std::shared_ptr<const ssm::Model> model, double sample_rate_hz, int channels, int block_frames,
                                   std::span<const float> controls, RateMode rate_mode)
    : processor_(model_for_host(model, sample_rate_hz, rate_mode)), channels_(channels), block_frames_(block_frames) {
  const double stated_hz = dsp::sample_rate_hz(processor_.model());
  const double model_hz = stated_hz > 0 ? stated_hz : sample_rate_hz;
  if (model_hz != sample_rate_hz) {
    to_model_.emplace(sample_rate_hz, model_hz, channels);
    from_model_.emplace(model_hz, sample_rate_hz, channels);
  }
  processor_.set_controls(controls);
  processor_.prepare({model_hz, block_frames, channels});
  latency_left_ = processor_.latency_frames();
  planes_.assign(channels, std::vector<float>(block_frames));
  for (std::vector<float>& plane : planes_) plane_pointers_.push_back(plane.data());
}

void OfflineProcessor::process(std::span<const float> in, std::vector<float>& out) {
  frames_in_ += static_cast<int64_t>(in.size()) / channels_;
  run(in, out);
}

void OfflineProcessor::finish(std::vector<float>& out) {
  // Silence after the end, not the resampler's own drain: what the model still has to say there belongs to the last frames' filter.
  const std::vector<float> silence(static_cast<size_t>(block_frames_) * channels_);
  while (frames_out_ < frames_in_) run(silence, out);
}

void OfflineProcessor::run(std::span<const float> in, std::vector<float>& out) {
  // Before the resampler, which would smear one NaN over all that follows.
  clean_.assign(in.begin(), in.end());
  drop_faults(clean_, faults_);
  model_frames_.clear();
  if (to_model_) {
    to_model_->process(clean_, model_frames_);
  } else {
    model_frames_.swap(clean_);
  }

  const int64_t frames = static_cast<int64_t>(model_frames_.size()) / channels_;
  for (int64_t begin = 0; begin < frames; begin += block_frames_) {
    const int n = static_cast<int>(std::min<int64_t>(block_frames_, frames - begin));
    float* block = model_frames_.data() + begin * channels_;
    for (int c = 0; c < channels_; ++c) {
      for (int i = 0; i < n; ++i) planes_[c][i] = block[i * channels_ + c];
    }
    processor_.process({plane_pointers_.data(), channels_, n});
    for (int c = 0; c < channels_; ++c) {
      for (int i = 0; i < n; ++i) block[i * channels_ + c] = planes_[c][i];
    }
  }

  const int64_t dropped = std::min(latency_left_, frames);
  latency_left_ -= dropped;
  std::span<const float> ready = std::span<const float>(model_frames_).subspan(static_cast<size_t>(dropped) * channels_);
  if (from_model_) {
    resampled_.clear();
    from_model_->process(ready, resampled_);
    ready = resampled_;
  }
  const int64_t emitted = std::min<int64_t>(static_cast<int64_t>(ready.size()) / channels_, frames_in_ - frames_out_);
  out.insert(out.end(), ready.begin(), ready.begin() + emitted * channels_);
  frames_out_ += emitted;
}

}  // namespace coil::dsp
