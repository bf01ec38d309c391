// Models without memory, y = W x, whose output is known exactly.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ssm/run/model.h"

namespace coil::test {

// `weights`: (width, width), row-major. sample_rate_hz 0: not stated. `card_json` empty: no card.
std::shared_ptr<const ssm::Model> matrix_model(int width, std::vector<float> weights, double sample_rate_hz,
                                               const std::string& card_json = "");

}  // namespace coil::test
