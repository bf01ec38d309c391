// Levels in volts: what full scale is at a model's input and output, as its card states.
#pragma once

#include <optional>

#include "ssm/run/model.h"

namespace coil::dsp {

// dBu of a sine at full scale; none: the card does not state it. [any thread but the audio thread]
std::optional<float> input_full_scale_dbu(const ssm::Model& model);
std::optional<float> output_full_scale_dbu(const ssm::Model& model);

// The range of interfaces and their input gains.
inline constexpr float kMinFullScaleDbu = -20, kMaxFullScaleDbu = 40;

}  // namespace coil::dsp
