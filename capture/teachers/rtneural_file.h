// Reads the JSON of RTNeural and AIDA-X: recurrent, dense and convolution layers with Keras weights.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "capture/teachers/teacher.h"

namespace coil::capture {

// Errors start with `where`. Throws Error.
Teacher read_rtneural(const nlohmann::json& json, const std::string& where);

}  // namespace coil::capture
