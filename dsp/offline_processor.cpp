// OfflineProcessor: passes recordings to a ModelAdapter.
#include "dsp/offline_processor.h"

namespace coil::dsp {

OfflineProcessor::OfflineProcessor(const std::shared_ptr<const ssm::Model>& model, double sample_rate_hz, int channels,
                                   int block_frames, std::span<const float> controls, RateMode rate_mode,
                                   std::shared_ptr<ssm::Executor> executor, double output_rate_hz)
    : RecordingProcessor(sample_rate_hz, output_rate_hz, channels, block_frames),
      adapter_(ModelAdapter::recording(model, {sample_rate_hz, channels, controls, rate_mode}, this->output_rate_hz(),
                                       executor ? std::move(executor) : std::make_shared<ssm::BlockExecutor>(),
                                       block_frames)) {}

}  // namespace coil::dsp
