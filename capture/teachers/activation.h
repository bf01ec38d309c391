// The activation functions between the layers of a teacher network.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace coil::capture {

class Activation {
 public:
  enum class Kind {
    kNone,
    kTanh,
    kHardTanh,
    kFastTanh,
    kRelu,
    kLeakyRelu,  // `slopes` left of 0: one value, or one per channel
    kSigmoid,
    kSilu,
    kHardSwish,
    kLeakyHardTanh,
    kSoftsign,
    kElu
  };

  Activation() = default;
  explicit Activation(Kind kind) : kind_(kind) {}

  // From the name in a .nam file: "Tanh", or {"type": "LeakyReLU", "negative_slope": 0.01}. Errors start with `where`.
  // Throws Error.
  static Activation of_nam(const nlohmann::json& json, const std::string& where);
  // From the name in RTNeural: "tanh"; empty: none. Throws Error.
  static Activation of_rtneural(const std::string& name, const std::string& where);
  static Activation of_slopes(std::vector<float> slopes);

  // In place; rows of `channels`.
  void apply(float* values, size_t frames, size_t channels) const;

 private:
  Kind kind_ = Kind::kNone;
  std::vector<float> slopes_ = {0.01f};
  float low_ = -1, high_ = 1, low_slope_ = 0.01f, high_slope_ = 0.01f;
};

}  // namespace coil::capture
