// JSON as RTNeural and AIDA-X read it: recurrent, dense and convolution layers by their Keras weights.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "capture/teachers/teacher.h"

namespace coil::capture {

// `where` stands in errors. Throws Error.
Teacher read_rtneural(const nlohmann::json& json, const std::string& where);

}  // namespace coil::capture
