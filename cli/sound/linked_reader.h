// Ogg and MPEG files, which may be several joined ones: each link is opened by itself, because libsndfile ends after
// the first.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "cli/sound/byte_source.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

struct SoundLink {
  uint64_t begin = 0, end = 0;  // bytes
  SoundFaults faults;  // as its pages or frames show them; the damage's place and what is lost may follow from reading
  bool goes_on = false;  // the same file as the link before, behind damage
  // To be read before the byte at `inserted_at`: a frame that counts the others of an MPEG link. Without one,
  // libsndfile guesses how long a link of variable bit rate is, and ends there.
  std::vector<uint8_t> inserted;
  uint64_t inserted_at = 0;
};

// Found from Ogg's pages (RFC 3533) and their checksums. Empty: the file is not Ogg. [any thread]
std::vector<SoundLink> ogg_links(ByteSource& source);

// Found from the headers of MPEG audio frames and the counts in Xing, Info and VBRI. Empty: none were found. [any
// thread]
std::vector<SoundLink> mpeg_links(ByteSource& source);

std::unique_ptr<SoundReader> open_links(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                        std::vector<SoundLink> links);

}  // namespace coil::cli
