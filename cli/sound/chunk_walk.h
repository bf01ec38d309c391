// Locates a file's chunks and its sound without trusting its header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/sound/byte_source.h"

namespace coil::cli {

// The GUID of the W64 chunk with this four-letter name.
std::string w64_guid(const std::string& name);

// other: none of these; not examined.
enum class ChunkFamily { other, riff, w64, aiff, caf, au };

struct FoundChunk {
  std::string id;             // four characters; in W64 the 16 bytes of a GUID
  uint64_t at = 0, size = 0;  // of its content
};

struct ChunkMap {
  ChunkFamily family = ChunkFamily::other;
  std::string form;                  // "RIFF", "RIFX", "RF64", "BW64"; "AIFF", "AIFC"; ".snd", "dns."
  bool big_endian = false;           // byte order of numbers in its chunks
  std::vector<FoundChunk> chunks;    // in the file's order: complete ones, without the sound
  std::vector<std::string> damaged;  // ids of damaged chunks

  bool has_sound = false;
  uint64_t sound_at = 0;
  uint64_t sound_bytes = 0;        // that exist; for a pipe, according to the header
  bool sound_runs_to_end = false;  // for a pipe whose header does not state the size
  bool truncated = false;          // shorter than the header says
  bool unfinalised = false;        // the header does not state the size, or states too little

  const FoundChunk* find(const std::string& id) const;
};

// Reads a pipe only up to the start of its sound. Throws only what `source` throws. [any thread]
ChunkMap walk_chunks(ByteSource& source);

// Whether the sound may end at `at`: nothing, chunks, a tag or padding follow. For pipes, where the walk cannot look
// ahead.
bool sound_ends_at(ByteSource& source, const ChunkMap& map, uint64_t at);

// The chunks from `at` on, up to the end or to something that is not a chunk.
std::vector<FoundChunk> chunks_behind(ByteSource& source, const ChunkMap& map, uint64_t at);

// The content of a chunk, at most `most` bytes.
std::vector<uint8_t> content_of(ByteSource& source, const FoundChunk& chunk, size_t most);

// The encoding of the sound, as far as a walk needs it.
struct Encoding {
  uint64_t block_bytes = 0;  // 0: unknown
  bool block_is_frame = false;
  bool is_extensible = false;  // WAVEFORMATEXTENSIBLE
};
Encoding encoding_of(ByteSource& source, const ChunkMap& map);

}  // namespace coil::cli
