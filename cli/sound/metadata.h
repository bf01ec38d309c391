// What a sound file carries besides its sound: tags, pictures, and chunks of its container.
#pragma once

#include <taglib/flacpicture.h>
#include <taglib/tbytevector.h>
#include <taglib/tpropertymap.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/sound/chunk_walk.h"

namespace coil::cli {

struct MetadataPicture {
  TagLib::ByteVector data;
  TagLib::String mime_type, description;
  int type = 3;  // as ID3v2 and FLAC number them; 3: front cover
};

struct MetadataChunk {
  std::string id;  // four characters; of a W64 chunk that has no such name its GUID
  std::vector<uint8_t> content;
};

struct Metadata {
  ChunkFamily family = ChunkFamily::other;  // of the chunks
  bool big_endian = false;                  // numbers in them
  int sample_rate_hz = 0;                   // of the frames that they count
  std::vector<MetadataChunk> chunks;        // without those that describe the sound itself
  std::vector<MetadataChunk> flac_blocks;   // APPLICATION and CUESHEET, with their header; the id is their name

  TagLib::PropertyMap texts;
  std::vector<MetadataPicture> pictures;
  TagLib::ByteVector id3;  // a whole ID3v2 tag, where there was one: it holds what texts and pictures cannot

  std::vector<std::string> left_out;  // names of chunks that are too large, or mean nothing at this rate
};

// What the chunks of a map hold. [any thread]
Metadata metadata_of_chunks(ByteSource& source, const ChunkMap& map);

// Adds the chunks that follow the sound of a pipe.
void add_chunks_behind(Metadata& metadata, ByteSource& source, const ChunkMap& map, uint64_t at);

// Of FLAC, Ogg and MP3. A file that cannot be read has none. [any thread]
Metadata metadata_of_tags(const std::filesystem::path& path, int format);

// What goes into a WAV file; `lost` gets names of what cannot.
std::vector<MetadataChunk> wav_chunks_of(const Metadata& metadata, std::vector<std::string>& lost);

// Writes to a complete file of `format` what it can hold, and returns names of what it cannot. `descriptor` is open for
// reading and writing. Throws Failure that begins with `name`. [any thread]
std::vector<std::string> write_metadata(int descriptor, const std::string& name, int format, const Metadata& metadata);

// Writes to a complete FLAC file for which loudspeakers its channels are. `descriptor` and `name` as above. [any
// thread]
void write_flac_mask(int descriptor, const std::string& name, uint32_t mask);

}  // namespace coil::cli
