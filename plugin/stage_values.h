// What can be set of a further stage: its values with names, ranges and units, for the window.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dsp/rig.h"
#include "plugin/stages.h"

namespace coil::plugin {

struct StageValue {
  enum class Kind { linear, logarithmic, on_off };

  std::string name, unit, description;
  Kind kind = Kind::linear;
  double min = 0, max = 1, default_value = 0;
  double value = 0;
  std::optional<double> off = std::nullopt;  // the value that switches something off
  std::function<void(dsp::RigStage& settings, double value)> set;
};

// In the order in which a window shows them. A model that is missing has none of its own controls.
std::vector<StageValue> values_of(const FurtherStage& stage);

}  // namespace coil::plugin
