// Makes processors of a rig's stages, and runs a chain over a recording.
#pragma once

#include <functional>
#include <memory>

#include "dsp/chain.h"
#include "dsp/recording_processor.h"
#include "dsp/rig.h"

namespace coil::dsp {

// Finds a rig's models and responses. Both functions throw if one is missing or unreadable.
struct RigFiles {
  std::function<std::shared_ptr<const ssm::Model>(const RigModel& stage)> model;
  std::function<std::shared_ptr<const ImpulseResponse>(const RigMicrophone& microphone)> response;
};

// Both throw Error, and whatever `files` throws. [any thread but the audio thread]
std::unique_ptr<AudioProcessor> make_processor(const RigStage& stage, const RigFiles& files);
Chain make_chain(const Rig& rig, const RigFiles& files);

// Runs a chain over a whole recording. `output_rate_hz` 0: the input's rate. Throws Error if the chain does not support
// the number of channels.
std::unique_ptr<RecordingProcessor> chain_over_recording(Chain chain, double sample_rate_hz, int channels,
                                                         double output_rate_hz = 0);

}  // namespace coil::dsp
