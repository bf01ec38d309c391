// Random but well-conditioned networks, signals and block sizes, determined by a seed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ssm/model/config.h"
#include "ssm/model/safetensors.h"

namespace coil::test {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  double uniform(double low, double high);
  double log_uniform(double low, double high);
  double normal();
  int whole(int low, int high);  // both ends included
  bool chance(double probability) { return uniform(0, 1) < probability; }
  template <class T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[whole(0, static_cast<int>(from.size()) - 1)];
  }
  uint32_t bits() { return static_cast<uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

// The contents of a model file.
struct ModelFile {
  std::string config_json, card_json;  // card_json empty: no card
  std::vector<ssm::NamedFloats> tensors;

  void write(const std::filesystem::path& path) const;
};

// Weights of every tensor that the config names. Signals keep their size; steps and decays remember about 10 to 200
// frames.
std::vector<ssm::NamedFloats> random_weights(const ssm::ModelConfig& config, Random& random);

// The file for a config given as JSON, with random weights.
ModelFile model_file(const std::string& config_json, uint32_t seed);

// A `coil` chain of random parts and widths: every mixer, odd sizes, FiLM from controls and from a slow path.
ModelFile random_coil_network(uint32_t seed);

// A `coil` chain of parts from hybrids: Mamba-3, attention, MLP, experts, taps, LayerNorm.
ModelFile random_family_network(uint32_t seed);

std::vector<float> random_signal(size_t values, Random& random);

// Block sizes that add up to `frames`: mostly small, sometimes 0, sometimes large.
std::vector<size_t> random_blocks(size_t frames, Random& random);

}  // namespace coil::test
