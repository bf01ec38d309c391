// Reads Ogg and MPEG files that may consist of several joined files, or be damaged. Each intact piece is opened
// separately, because libsndfile stops after the first file and does not report what it left out. Silence fills the
// gaps.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "cli/sound/byte_source.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

struct SoundLink {
  // The decoder's input, in order: bytes of the file, or these bytes instead.
  struct Piece {
    uint64_t at = 0, size = 0;
    std::vector<uint8_t> bytes;
  };
  std::vector<Piece> pieces;
  SoundFaults faults;    // visible in its pages or frames
  bool goes_on = false;  // the same file as the previous link, after damage
  // The file's position of its first frame if nothing is missing, and of the end of the link's last frame; -1: unknown.
  int64_t begin_position = 0, end_position = -1;
  // For formats without positions: frames lost in the damage before it, and frames found in it.
  int64_t lost_before = 0, frames_found = 0;
  bool says_length = false;  // of the link and those that continue it; anything after that is padding

  uint64_t begin() const { return pieces.back().at; }
};

// Uses Ogg's pages (RFC 3533) and their checksums. Empty: the file is not Ogg. [any thread]
std::vector<SoundLink> ogg_links(ByteSource& source);

// The FLAC data of an Ogg file in the form of a native FLAC file; null: none. [any thread]
struct OggFlac {
  std::shared_ptr<ByteSource> flac;
  bool has_end = false;  // the last page exists
};
OggFlac flac_in_ogg(const std::shared_ptr<ByteSource>& source);

// Uses the headers of MPEG audio frames, and the counts in Xing, Info and VBRI headers. Empty: none found. [any thread]
std::vector<SoundLink> mpeg_links(ByteSource& source);

std::unique_ptr<SoundReader> open_links(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                        std::vector<SoundLink> links);

}  // namespace coil::cli
