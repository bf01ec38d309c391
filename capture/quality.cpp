// Three sizes, by what they cost in the plugin.
#include "capture/quality.h"

#include "base/error.h"

namespace coil::capture {

const std::vector<Quality>& qualities() {
  static const std::vector<Quality> all = {
      {"lite", "about 1,100 multiply-adds a sample", {8, 3, 4, 0}, 48000, 440},
      {"standard", "about 2,000 multiply-adds a sample", {8, 4, 6, 0}, 48000, 440},
      {"hq", "about 5,500 multiply-adds a sample", {16, 4, 6, 0}, 48000, 440},
  };
  return all;
}

const Quality& quality_named(const std::string& name) {
  std::string names;
  for (const Quality& quality : qualities()) {
    if (name == quality.name) return quality;
    names += (names.empty() ? "" : ", ") + std::string(quality.name);
  }
  throw Error("there is no quality '" + name + "'; there are " + names);
}

}  // namespace coil::capture
