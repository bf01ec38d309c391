// Converts a trained network to a Coil model file with the same output.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "capture/trainer/shape.h"
#include "capture/trainer/trainer.h"

namespace coil::capture {

// A control of the device, in the units of its front panel.
struct Knob {
  std::string name;
  double min, max;

  double normalised(double value) const { return (value - min) / (max - min); }
};

// The bytes of a model file. `card` as in write_model.
std::vector<std::byte> model_bytes(const ParameterMap& map, const std::vector<float>& parameters, const Scales& scales,
                                   double sample_rate_hz, const std::vector<Knob>& knobs, nlohmann::ordered_json card);

// `card`: name, description and so on; rate, channels and controls are added. Writes the whole file or nothing. Throws
// Error.
void write_model(const std::filesystem::path& path, const ParameterMap& map, const std::vector<float>& parameters,
                 const Scales& scales, double sample_rate_hz, const std::vector<Knob>& knobs,
                 nlohmann::ordered_json card);

}  // namespace coil::capture
