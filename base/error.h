// The exception type of every library: bad files, fields and options, each as one clear line.
#pragma once

#include <stdexcept>
#include <string>

namespace coil {

// what() says what was wrong with which file, tensor or field, and what would be right.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace coil
