// A rig arranged as the plugin has its stages: input gain and gate, one model, then cabinet, equaliser, output gain.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dsp/rig.h"

namespace coil::dsp {

struct PluginRig {
  float input_db = 0, output_db = 0, mix = 1;
  RigStage model_stage;  // `model` is its kind, with the gate of the rig
  RigModel model;
  RigCabinet cabinet;  // no microphones: none
  bool cabinet_on = true;
  EqualiserSettings equaliser;
  bool equaliser_on = true;
  std::vector<std::string> warnings;  // what the plugin plays differently, one sentence each
};

// The plugin's ranges.
inline constexpr float kPluginGainDb = 40, kPluginMinMicrophoneDb = -40, kPluginMaxMicrophoneDb = 12;

// Throws Error that names the stage that does not fit. [any thread]
PluginRig arrange_for_plugin(const Rig& rig);

}  // namespace coil::dsp
