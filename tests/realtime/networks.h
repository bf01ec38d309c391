// The networks for the tests in this folder: shipped presets, every architecture of the golden files, and random chains
// of parts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ssm/run/model.h"

namespace coil::test {

struct Network {
  std::string name;
  std::shared_ptr<const ssm::Model> model;
};

// Presets and golden networks on the best target, and `random_count` random ones, with alternating targets.
std::vector<Network> networks(ssm::InputKind kind, uint32_t random_count);

}  // namespace coil::test
