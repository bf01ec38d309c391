// Three sizes of network, ordered by their cost in the plugin.
#include "capture/quality.h"

#include "base/error.h"

namespace coil::capture {

const std::vector<Quality>& qualities() {
  // Never freed: a detached learning thread may still read it while the program ends.
  static const auto& all = *new std::vector<Quality>{
      {"lite", "about 750 multiply-adds a sample", {8, 1, 4, 0}, 48000, 0.1, 440},
      {"standard", "about 2,000 multiply-adds a sample", {8, 4, 6, 0}, 48000, 0.06, 440},
      {"hq", "about 2,300 multiply-adds a sample, with less aliasing", {8, 4, 7, 0}, 48000, 0.2, 440},
  };
  return all;
}

const Quality& quality_named(const std::string& name) {
  std::string names;
  for (const Quality& quality : qualities()) {
    if (name == quality.name) return quality;
    names += (names.empty() ? "" : ", ") + std::string(quality.name);
  }
  throw Error("unknown quality '" + name + "'; available: " + names);
}

}  // namespace coil::capture
