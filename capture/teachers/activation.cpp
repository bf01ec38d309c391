// Names and formulas of the activations.
#include "capture/teachers/activation.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/json_fields.h"
#include "capture/teachers/kernels.h"

namespace coil::capture {
namespace {

using Kind = Activation::Kind;

const std::map<std::string, Kind> kNamKinds = {{"Tanh", Kind::kTanh},
                                               {"Hardtanh", Kind::kHardTanh},
                                               {"Fasttanh", Kind::kFastTanh},
                                               {"ReLU", Kind::kRelu},
                                               {"LeakyReLU", Kind::kLeakyRelu},
                                               {"PReLU", Kind::kLeakyRelu},
                                               {"Sigmoid", Kind::kSigmoid},
                                               {"SiLU", Kind::kSilu},
                                               {"Hardswish", Kind::kHardSwish},
                                               {"LeakyHardtanh", Kind::kLeakyHardTanh},
                                               {"LeakyHardTanh", Kind::kLeakyHardTanh},
                                               {"Softsign", Kind::kSoftsign}};
const std::map<std::string, Kind> kRtNeuralKinds = {{"", Kind::kNone},           {"linear", Kind::kNone},
                                                    {"tanh", Kind::kTanh},       {"relu", Kind::kRelu},
                                                    {"sigmoid", Kind::kSigmoid}, {"elu", Kind::kElu}};

Kind kind_named(const std::map<std::string, Kind>& kinds, const std::string& name, const std::string& where) {
  if (const auto found = kinds.find(name); found != kinds.end()) return found->second;
  std::string names;
  for (const auto& [known, kind] : kinds)
    if (!known.empty()) names += (names.empty() ? "" : ", ") + known;
  throw Error(where + ": the activation '" + name.substr(0, 40) + "' is not known; " + names + " are");
}

// A rational approximation of tanh; networks that were trained with it need it. Source: NeuralAmpModelerCore,
// NAM/activations.h.
float fast_tanh(float x) {
  const float size = std::abs(x), square = x * x;
  const float above =
      x * (2.45550750702956f + 2.45550750702956f * size + (0.893229853513558f + 0.821226666969744f * size) * square);
  return above / (2.44506634652299f + (2.44506634652299f + square) * std::abs(x + 0.814642734961073f * x * size));
}

}  // namespace

Activation Activation::of_nam(const nlohmann::json& json, const std::string& where) {
  if (json.is_string()) return Activation(kind_named(kNamKinds, json, where));
  const JsonFields fields(json, where);
  const std::string name = fields.text("type");
  Activation activation(kind_named(kNamKinds, name, where));
  if (fields.has("negative_slopes")) {
    const nlohmann::json& slopes = fields.at("negative_slopes");
    const auto is_number = [](const nlohmann::json& slope) { return slope.is_number(); };
    if (!slopes.is_array() || slopes.empty() || !std::ranges::all_of(slopes, is_number))
      throw fields.wrong("negative_slopes", "a list of numbers");
    activation.slopes_ = slopes.get<std::vector<float>>();
  }
  if (fields.has("negative_slope")) activation.slopes_ = {float(fields.number("negative_slope"))};
  activation.low_ = float(fields.number("min_val", -1.0));
  activation.high_ = float(fields.number("max_val", 1.0));
  activation.low_slope_ = float(fields.number("min_slope", 0.01));
  activation.high_slope_ = float(fields.number("max_slope", 0.01));
  return activation;
}

Activation Activation::of_rtneural(const std::string& name, const std::string& where) {
  return Activation(kind_named(kRtNeuralKinds, name, where));
}

Activation Activation::of_slopes(std::vector<float> slopes) {
  Activation activation(Kind::kLeakyRelu);
  activation.slopes_ = std::move(slopes);
  return activation;
}

void Activation::apply(float* values, size_t frames, size_t channels) const {
  const size_t count = frames * channels;
  const auto each = [&](auto function) { std::transform(values, values + count, values, function); };
  switch (kind_) {
    case Kind::kNone:
      return;
    case Kind::kTanh:
      return teacher_kernels::tanh_all(values, count);
    case Kind::kSigmoid:
      return teacher_kernels::sigmoid_all(values, count);
    case Kind::kHardTanh:
      return each([](float x) { return std::clamp(x, -1.0f, 1.0f); });
    case Kind::kFastTanh:
      return each(fast_tanh);
    case Kind::kRelu:
      return each([](float x) { return std::max(x, 0.0f); });
    case Kind::kLeakyRelu:
      for (size_t i = 0; i < count; ++i)
        if (values[i] < 0) values[i] *= slopes_.size() == 1 ? slopes_[0] : slopes_[i % channels % slopes_.size()];
      return;
    case Kind::kSilu:
      return each([](float x) { return x / (1 + std::exp(-x)); });
    case Kind::kHardSwish:
      return each([](float x) { return x * std::clamp(x + 3, 0.0f, 6.0f) / 6; });
    case Kind::kLeakyHardTanh:
      return each([this](float x) {
        if (x < low_) return low_ + (x - low_) * low_slope_;
        return x > high_ ? high_ + (x - high_) * high_slope_ : x;
      });
    case Kind::kSoftsign:
      return each([](float x) { return x / (1 + std::abs(x)); });
    case Kind::kElu:
      return each([](float x) { return x > 0 ? x : std::exp(x) - 1; });
  }
}

}  // namespace coil::capture
