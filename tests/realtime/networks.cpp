// Loads the networks from the folders of presets and golden files, and from seeds.
#include "tests/realtime/networks.h"

#include <algorithm>
#include <filesystem>

#include "tests/support/runs.h"

namespace coil::test {

std::vector<Network> networks(ssm::InputKind kind, uint32_t random_count) {
  std::vector<Network> all;
  for (const char* folder : {COIL_PRESETS_DIR, COIL_GOLDEN_DIR}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string name = entry.path().stem().string();
      if (entry.path().extension() == ".safetensors" && !name.starts_with("op_"))
        all.push_back({name, ssm::Model::load(ssm::Checkpoint::open(entry.path()).with_window(40))});
    }
  }
  const auto targets = ssm::Target::all();
  for (uint32_t seed = 0; seed < random_count; ++seed) {
    const ssm::Target target = targets[seed % targets.size()];
    all.push_back({"random network " + std::to_string(seed) + " on " + target.name(),
                   load(random_coil_network(seed)).model(target)});
  }
  std::erase_if(all, [&](const Network& network) { return network.model->config().input_kind != kind; });
  return all;
}

}  // namespace coil::test
