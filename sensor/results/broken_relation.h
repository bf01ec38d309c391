// A value whose relation to other values has changed.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace coil::sensor {

struct BrokenRelation {
  std::string key, name;                                    // of its sensor (Selection::key), and of the value
  double value = 0, expected = 0;                           // NaN: missing; `expected`: from the others
  std::vector<std::pair<std::string, std::string>> others;  // key and name of those that it depends on most
};

}  // namespace coil::sensor
