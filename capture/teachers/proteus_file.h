// Reads the JSON of Proteus and other plugins of GuitarML: a PyTorch LSTM or GRU, followed by a linear layer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "capture/teachers/teacher.h"

namespace coil::capture {

// Errors start with `where`. Throws Error.
Teacher read_proteus(const nlohmann::json& json, const std::string& where);

}  // namespace coil::capture
