// A rig arranged for the plugin: which of its stages the plugin's usual knobs move, and which are further stages.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dsp/rig.h"

namespace coil::dsp {

// What the plugin's own parameters and slots play.
struct PluginRig {
  float input_db = 0, output_db = 0, mix = 1;
  RigStage model_stage;  // `model` is its kind
  RigModel model;
  RigCabinet cabinet;  // no microphones: none
  bool cabinet_on = true;
  float cabinet_mix = 1;
  EqualiserSettings equaliser;
  bool equaliser_on = true;
  float equaliser_mix = 1;

  // One stage of the list.
  struct Place {
    int number = 0;  // as RackStage::number
    RigStage stage;  // of a further stage
  };
  std::vector<Place> places;
  std::vector<std::string> warnings;  // what the plugin plays differently, one sentence each
};

// The plugin's ranges.
inline constexpr float kPluginGainDb = 40, kPluginMinMicrophoneDb = -40, kPluginMaxMicrophoneDb = 12;

// The stage marked as `main`, or the last model before the first cabinet, or the last model, becomes the model that the
// knobs move. Throws Error that says what the plugin has no room for. [any thread]
PluginRig arrange_for_plugin(const Rig& rig);

}  // namespace coil::dsp
