// ModelProcessor: cuts blocks into the pieces that its adapter takes.
#include "dsp/model_processor.h"

#include <algorithm>

namespace coil::dsp {

ModelProcessor::ModelProcessor(std::shared_ptr<const ssm::Model> model, RateMode rate_mode)
    : model_(std::move(model)), rate_mode_(rate_mode) {
  require_audio_model(*model_);
  for (const ssm::Control& control : model_->card().controls)
    controls_.push_back(static_cast<float>(control.default_value));
}

void ModelProcessor::prepare(const ProcessSpec& spec) {
  adapter_ = ModelAdapter::live(model_, {spec.sample_rate_hz, spec.channels, controls_, rate_mode_},
                                std::max(1, spec.max_block_frames));
  channels_.resize(static_cast<size_t>(spec.channels));
}

void ModelProcessor::reset() noexcept {
  if (adapter_) adapter_->reset();
}

void ModelProcessor::set_controls(std::span<const float> values) noexcept {
  std::copy_n(values.begin(), std::min(values.size(), controls_.size()), controls_.begin());
  if (adapter_) adapter_->set_controls(controls_);
}

void ModelProcessor::process(AudioBlock block) noexcept { process_pieces<&ModelAdapter::process>(block); }
void ModelProcessor::process_clean(AudioBlock block) noexcept { process_pieces<&ModelAdapter::process_clean>(block); }

template <AudioBlock (ModelAdapter::*kProcess)(AudioBlock)>
void ModelProcessor::process_pieces(AudioBlock block) noexcept {
  for (int begin = 0; begin < block.frames;) {
    for (int c = 0; c < block.channel_count; ++c) channels_[static_cast<size_t>(c)] = block.channels[c] + begin;
    const AudioBlock piece{channels_.data(), block.channel_count,
                           std::min(adapter_->max_frames(), block.frames - begin)};
    begin += piece.frames;
    const AudioBlock made = ((*adapter_).*kProcess)(piece);
    for (int c = 0; c < piece.channel_count; ++c) {
      if (made.channels[c] != piece.channels[c]) std::ranges::copy(made.channel(c), piece.channels[c]);
    }
  }
}

}  // namespace coil::dsp
