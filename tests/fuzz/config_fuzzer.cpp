// libFuzzer target: any text as a config and as a card. It must parse, or be rejected with an Error.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ssm/model/card.h"
#include "ssm/model/config.h"
#include "ssm/model/plan.h"
#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const auto config = coil::ssm::parse_config(text, "fuzz");
    if (config.d_input < 1 || config.d_output < 1 || config.film_size < 0) std::abort();
    if (!(coil::ssm::plan_of(config).cost.macs_per_step >= 0)) std::abort();
  } catch (const coil::Error&) {
  }
  try {
    for (const auto& control : coil::ssm::parse_card(text, 1, "fuzz").controls)
      if (!(control.normalised(control.default_value) >= 0 && control.normalised(control.default_value) <= 1))
        std::abort();
  } catch (const coil::Error&) {
  }
  return 0;
}
