// RecordingProcessor: counts frames, and feeds silence after the end.
#include "dsp/recording_processor.h"

#include <algorithm>
#include <cmath>

#include "dsp/interleave.h"

namespace coil::dsp {
namespace {

constexpr int kMaxSilenceFrames = 4096;  // so that little is processed beyond the end

}  // namespace

RecordingProcessor::RecordingProcessor(double sample_rate_hz, double output_rate_hz, int channels, int block_frames)
    : sample_rate_hz_(sample_rate_hz),
      output_rate_hz_(output_rate_hz > 0 ? output_rate_hz : sample_rate_hz),
      block_frames_(static_cast<size_t>(std::min(block_frames, kMaxSilenceFrames))),
      planes_(static_cast<size_t>(channels)),
      channels_(static_cast<size_t>(channels)) {}

int64_t RecordingProcessor::output_frames(int64_t frames, double sample_rate_hz, double output_rate_hz) {
  return sample_rate_hz == output_rate_hz ? frames
                                          : std::llround(static_cast<double>(frames) * output_rate_hz / sample_rate_hz);
}

void RecordingProcessor::process(std::span<const float> in, std::vector<float>& out) {
  frames_in_ += static_cast<int64_t>(in.size() / planes_.size());
  run_and_append(in, out);
}

void RecordingProcessor::finish(std::vector<float>& out) {
  // Feed silence after the end instead of draining the resampler: the model's response to it belongs to the filter
  // tails of the last frames.
  const std::vector<float> silence(block_frames_ * planes_.size());
  while (frames_out_ < output_frames(frames_in_, sample_rate_hz_, output_rate_hz_)) run_and_append(silence, out);
}

void RecordingProcessor::run_and_append(std::span<const float> in, std::vector<float>& out) {
  const size_t channels = planes_.size(), frames = in.size() / channels;
  for (size_t c = 0; c < channels; ++c) {
    planes_[c].resize(frames);
    channels_[c] = planes_[c].data();
  }
  const AudioBlock block{channels_.data(), static_cast<int>(channels), static_cast<int>(frames)};
  separate(in.data(), block);
  AudioBlock ready = run(block);
  const int64_t wanted = output_frames(frames_in_, sample_rate_hz_, output_rate_hz_) - frames_out_;
  ready.frames = static_cast<int>(std::min<int64_t>(ready.frames, wanted));
  const size_t begin = out.size();
  out.resize(begin + static_cast<size_t>(ready.frames) * channels);
  interleave(ready, out.data() + begin);
  frames_out_ += ready.frames;
}

}  // namespace coil::dsp
