// The ID3v2 tag that some programs put before a file of another format. Source: id3.org, ID3v2.4 section 3.1.
#pragma once

#include <cstdint>
#include <cstring>

#include "cli/sound/byte_source.h"

namespace coil::cli {

// The tag's size in bytes with its header and footer, 0 if there is none. [any thread]
inline uint64_t id3_bytes(ByteSource& source) {
  uint8_t head[10] = {};
  if (source.read_at(0, head) != sizeof head || std::memcmp(head, "ID3", 3) != 0) return 0;
  const bool footer = (head[5] & 0x10) != 0;
  return 10 + (uint64_t{head[6]} << 21 | head[7] << 14 | head[8] << 7 | head[9]) + (footer ? 10 : 0);
}

}  // namespace coil::cli
