// Reads levels from cards.
#include "dsp/calibration.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace coil::dsp {
namespace {

std::optional<float> level(const ssm::Model& model, const char* key) {
  const nlohmann::json card = nlohmann::json::parse(model.card().json, nullptr, false);
  if (!card.is_object() || !card.contains(key) || !card[key].is_number()) return std::nullopt;
  const float dbu = card[key].get<float>();
  return std::isfinite(dbu) && std::fabs(dbu) < 100 ? std::optional(dbu) : std::nullopt;
}

}  // namespace

std::optional<float> input_full_scale_dbu(const ssm::Model& model) { return level(model, "input_full_scale_dbu"); }
std::optional<float> output_full_scale_dbu(const ssm::Model& model) { return level(model, "output_full_scale_dbu"); }

}  // namespace coil::dsp
