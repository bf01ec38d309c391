// JSON as Proteus and other plugins of GuitarML read it: the state of a PyTorch LSTM or GRU with a linear layer behind.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "capture/teachers/teacher.h"

namespace coil::capture {

// `where` stands in errors. Throws Error.
Teacher read_proteus(const nlohmann::json& json, const std::string& where);

}  // namespace coil::capture
