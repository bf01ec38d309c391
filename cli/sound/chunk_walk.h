// Where a file's chunks and its sound lie, found out without believing what its header says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/sound/byte_source.h"

namespace coil::cli {

// The GUID of a W64 chunk with this name of four letters.
std::string w64_guid(const std::string& name);

// other: none of these; nothing was looked at.
enum class ChunkFamily { other, riff, w64, aiff, caf, au };

struct FoundChunk {
  std::string id;             // four characters; in W64 the 16 bytes of a GUID
  uint64_t at = 0, size = 0;  // of its content
};

struct ChunkMap {
  ChunkFamily family = ChunkFamily::other;
  std::string form;                  // "RIFF", "RIFX", "RF64", "BW64"; "AIFF", "AIFC"; ".snd", "dns."
  bool big_endian = false;           // numbers in its chunks
  std::vector<FoundChunk> chunks;    // in the file's order: those that are whole, without the sound
  std::vector<std::string> damaged;  // ids of others

  bool has_sound = false;
  uint64_t sound_at = 0;
  uint64_t sound_bytes = 0;        // what is there; in a pipe, what the header says
  bool sound_runs_to_end = false;  // in a pipe whose header does not say
  bool truncated = false;          // less is there than the header says
  bool unfinalised = false;        // the header leaves open how much there is, or says less

  const FoundChunk* find(const std::string& id) const;
};

// Reads a pipe up to where its sound begins. Throws only what `source` throws. [any thread]
ChunkMap walk_chunks(ByteSource& source);

// Whether the sound may end at `at`: nothing, chunks, a tag or padding lie behind. For pipes, whose walk cannot look
// there.
bool sound_ends_at(ByteSource& source, const ChunkMap& map, uint64_t at);

// The chunks from `at` on, up to the end or to what is none.
std::vector<FoundChunk> chunks_behind(ByteSource& source, const ChunkMap& map, uint64_t at);

// The content of a chunk, at most `most` bytes of it.
std::vector<uint8_t> content_of(ByteSource& source, const FoundChunk& chunk, size_t most);

// How the sound is stored, as far as a walk needs to know.
struct Encoding {
  uint64_t block_bytes = 0;  // 0: not known
  bool block_is_frame = false;
  bool is_extensible = false;  // WAVEFORMATEXTENSIBLE
};
Encoding encoding_of(ByteSource& source, const ChunkMap& map);

}  // namespace coil::cli
