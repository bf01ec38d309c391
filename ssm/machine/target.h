// What a model's weights are packed for when it is loaded: the SIMD instruction set (default: the best one), and the
// format of the weights.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace coil::ssm {

// The format of a projection's weights. Everything else (A, dt bias, D, convolutions, norms, biases, states) is always
// float32.
enum class WeightFormat {
  f32,
  bf16,  // rounded to the upper half of a float32
  int8,  // one scale per row: the row's largest magnitude becomes 127
};

size_t bytes_of(WeightFormat format);                           // per weight
const char* to_string(WeightFormat format);                     // "bf16" ...
WeightFormat weight_format_from_name(const std::string& name);  // throws Error that lists the valid names

// An instruction set that this build contains and this machine supports, and the format of the weights (default:
// float32). Cheap to copy.
class Target {
 public:
  static Target best();
  static std::vector<Target> all();                  // best first
  static Target from_name(const std::string& name);  // "avx2" ...; throws Error that lists the valid names
  Target with(WeightFormat weights) const;

  const char* name() const;   // the name of the instruction set
  std::string label() const;  // for messages: includes the format if it is not float32
  const struct Kernels& kernels() const { return *kernels_; }
  WeightFormat weights() const { return weights_; }

  friend bool operator==(const Target&, const Target&) = default;

 private:
  explicit Target(const struct Kernels* kernels) : kernels_(kernels) {}
  const struct Kernels* kernels_;
  WeightFormat weights_ = WeightFormat::f32;
};

}  // namespace coil::ssm
