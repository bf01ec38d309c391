// Makes gzip files readable from any position.
#pragma once

#include <string>

namespace coil::sensor {

// Whether a seekable file starts like a gzip file. [any thread]
bool is_gzip(int descriptor);

struct UnpackedFile {
  int descriptor = -1;  // of an unnamed file, which disappears when the caller closes it
  std::string damage;   // not empty: the rest of the content is missing or damaged
};

// Unpacks from the beginning; `descriptor` stays open. Throws Error, without the file's name, if there is not enough
// space. [any thread]
UnpackedFile unpack_gzip(int descriptor);

}  // namespace coil::sensor
