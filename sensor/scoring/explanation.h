// What kind of evidence made a value an anomaly.
#pragma once

#include <cstdint>

namespace coil::sensor {

// Plain data.
struct Explanation {
  enum class Kind : uint8_t {
    kNone,
    kLevel,   // beyond all before
    kShift,   // its recent mean is beyond all before
    kJump,    // far from the value before, or from what was forecast
    kUnrest,  // moves more than ever, or is harder to forecast than ever
    kCalm,    // moves less than ever
    kStuck,   // does not move at all
    kDrift,   // stays on one side of what was forecast
    kLimit    // beyond a limit that the settings tell
  };

  Kind kind = Kind::kNone;
  bool is_up = false;  // of a level, jump, drift or limit
};

}  // namespace coil::sensor
