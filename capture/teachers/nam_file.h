// Reads the .nam files of Neural Amp Modeler: WaveNet, LSTM, ConvNet, Linear, and containers of them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "capture/teachers/teacher.h"

namespace coil::capture {

// Errors start with `where`. Throws Error.
Teacher read_nam(const nlohmann::json& json, const std::string& where);

}  // namespace coil::capture
