// Ogg and MPEG files, which may be several joined ones, or damaged: each piece that is whole is opened by itself,
// because libsndfile ends after the first file, and does not say what it left out. Between the pieces is silence.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "cli/sound/byte_source.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

struct SoundLink {
  // What a decoder is given, in this order: bytes of the file, or these in their place.
  struct Piece {
    uint64_t at = 0, size = 0;
    std::vector<uint8_t> bytes;
  };
  std::vector<Piece> pieces;
  SoundFaults faults;    // as its pages or frames show them
  bool goes_on = false;  // the same file as the link before, behind damage
  // Where a file's first frame begins when nothing is missing, and where the link's last one ends, as the file counts;
  // -1: it does not say.
  int64_t begin_position = 0, end_position = -1;
  // Where positions do not say it: frames in the damage before it, and in its bytes.
  int64_t lost_before = 0, frames_found = 0;
  bool says_length = false;  // of itself and the links that go on from it; then what comes after that is padding

  uint64_t begin() const { return pieces.back().at; }
};

// Found from Ogg's pages (RFC 3533) and their checksums. Empty: the file is not Ogg. [any thread]
std::vector<SoundLink> ogg_links(ByteSource& source);

// The FLAC in an Ogg file, as a native FLAC file would hold it; null: there is none. [any thread]
struct OggFlac {
  std::shared_ptr<ByteSource> flac;
  bool has_end = false;  // the last page is there
};
OggFlac flac_in_ogg(const std::shared_ptr<ByteSource>& source);

// Found from the headers of MPEG audio frames and the counts in Xing, Info and VBRI. Empty: none were found. [any
// thread]
std::vector<SoundLink> mpeg_links(ByteSource& source);

std::unique_ptr<SoundReader> open_links(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                        std::vector<SoundLink> links);

}  // namespace coil::cli
