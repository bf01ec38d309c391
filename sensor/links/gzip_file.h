// Files that gzip has compressed, as files that can be read from any place.
#pragma once

#include <string>

namespace coil::sensor {

// Whether what can be sought begins as gzip files do. [any thread]
bool is_gzip(int descriptor);

struct UnpackedFile {
  int descriptor = -1;  // of a file without a name, which is gone once it is closed; the caller closes it
  std::string damage;   // not empty: what follows the content is missing or damaged
};

// From the beginning; `descriptor` stays open. Throws Error, without the file's name, when there is no room for what it
// holds. [any thread]
UnpackedFile unpack_gzip(int descriptor);

}  // namespace coil::sensor
