// The kind of evidence that made a value an anomaly.
#pragma once

#include <cstdint>

namespace coil::sensor {

// Plain data.
struct Explanation {
  enum class Kind : uint8_t {
    kNone,
    kLevel,   // beyond all earlier values
    kShift,   // its recent mean is beyond all earlier ones
    kJump,    // far from the previous value, or from the forecast
    kUnrest,  // moves more than ever, or is harder to forecast than ever
    kCalm,    // moves less than ever
    kStuck,   // does not move at all
    kDrift,   // stays on one side of the forecasts
    kLimit    // outside a limit of the settings
  };

  Kind kind = Kind::kNone;
  bool is_up = false;  // for a level, jump, drift or limit
};

}  // namespace coil::sensor
