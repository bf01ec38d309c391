// LiveResampling: two polyphase resamplers and a queue. RecordingFrontEnd: two resamplers of libsoxr.
#include "dsp/front_end.h"

#include <algorithm>

#include "dsp/interleave.h"

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

LiveResampling::LiveResampling(double host_hz, double model_hz, int max_frames, int channels)
    : max_frames_(max_frames) {
  const PolyphaseResampler to_model(host_hz, model_hz, max_frames);
  const PolyphaseResampler from_model(model_hz, host_hz, to_model.max_frames_out());
  latency_frames_ = round_trip_frames(to_model, from_model);
  // for what waits, what was returned last, and what one call adds
  const size_t room = static_cast<size_t>(latency_frames_) + from_model.max_frames_out() + max_frames;
  const Channel channel{to_model, from_model, std::vector<float>(to_model.max_frames_out()), std::vector<float>(room)};
  channels_.assign(static_cast<size_t>(channels), channel);
  for (Channel& each : channels_) {
    model_pointers_.push_back(each.model_frames.data());
    queue_pointers_.push_back(each.queue.data());
  }
  queued_ = latency_frames_;
}

void LiveResampling::reset() noexcept {
  for (Channel& channel : channels_) {
    channel.to_model.reset();
    channel.from_model.reset();
    std::ranges::fill(channel.queue, 0.0f);
  }
  given_ = 0;
  queued_ = latency_frames_;
}

AudioBlock LiveResampling::to_model(AudioBlock audio) noexcept {
  asked_ = audio.frames;
  int made = 0;
  for (int c = 0; c < audio.channel_count; ++c)
    made =
        channels_[static_cast<size_t>(c)].to_model.process(audio.channel(c), model_pointers_[static_cast<size_t>(c)]);
  return {model_pointers_.data(), audio.channel_count, made};
}

AudioBlock LiveResampling::from_model(AudioBlock frames) noexcept {
  int made = 0;
  for (int c = 0; c < frames.channel_count; ++c) {
    Channel& channel = channels_[static_cast<size_t>(c)];
    const auto begin = channel.queue.begin();
    std::copy(begin + given_, begin + queued_, begin);
    made = channel.from_model.process(frames.channel(c), channel.queue.data() + queued_ - given_);
  }
  queued_ += made - given_;
  given_ = asked_;
  return {queue_pointers_.data(), frames.channel_count, given_};
}

RecordingFrontEnd::RecordingFrontEnd(double host_hz, double model_hz, double output_hz, int channels,
                                     int latency_frames)
    : model_latency_frames_(latency_frames),
      early_frames_(latency_frames),
      planes_(static_cast<size_t>(channels)),
      pointers_(static_cast<size_t>(channels)) {
  if (model_hz != host_hz) to_model_.emplace(host_hz, model_hz, channels);
  if (model_hz != output_hz) from_model_.emplace(model_hz, output_hz, channels);
}

void RecordingFrontEnd::reset() {
  early_frames_ = model_latency_frames_;
  if (to_model_) to_model_->reset();
  if (from_model_) from_model_->reset();
}

AudioBlock RecordingFrontEnd::without_latency(AudioBlock frames) noexcept {
  const int dropped = std::min(early_frames_, frames.frames);
  early_frames_ -= dropped;
  if (dropped == 0) return frames;
  for (int c = 0; c < frames.channel_count; ++c) pointers_[static_cast<size_t>(c)] = frames.channels[c] + dropped;
  return {pointers_.data(), frames.channel_count, frames.frames - dropped};
}

AudioBlock RecordingFrontEnd::convert(std::optional<Resampler>& resampler, AudioBlock block) {
  if (!resampler) return block;
  const size_t channels = planes_.size();
  interleaved_.resize(static_cast<size_t>(block.frames) * channels);
  interleave(block, interleaved_.data());
  resampled_.clear();
  resampler->process(interleaved_, resampled_);
  const size_t made = resampled_.size() / channels;
  for (size_t c = 0; c < channels; ++c) {
    planes_[c].resize(made);
    pointers_[c] = planes_[c].data();
  }
  const AudioBlock converted{pointers_.data(), block.channel_count, static_cast<int>(made)};
  separate(resampled_.data(), converted);
  return converted;
}

}  // namespace coil::dsp
