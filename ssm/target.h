// The SIMD instruction sets that the kernels are compiled for; the best one is chosen when a model is loaded.
#pragma once

#include <string>
#include <vector>

namespace coil::ssm {

// An instruction set that this build has and this machine can run. Cheap to copy.
class Target {
 public:
  static Target best();
  static std::vector<Target> all();                    // best first
  static Target from_name(const std::string& name);    // "avx2" ...; throws Error that lists the names

  const char* name() const;
  const struct Kernels& kernels() const { return *kernels_; }

  friend bool operator==(const Target&, const Target&) = default;

 private:
  explicit Target(const struct Kernels* kernels) : kernels_(kernels) {}
  const struct Kernels* kernels_;
};

}  // namespace coil::ssm
