// The contents of a sound file besides its sound: tags, pictures, and chunks of its container.
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
  int type = 3;  // as in ID3v2 and FLAC; 3: front cover
};

struct MetadataChunk {
  std::string id;  // four characters; for a W64 chunk without such a name, its GUID
  std::vector<uint8_t> content;
};

struct Metadata {
  ChunkFamily family = ChunkFamily::other;  // of the chunks
  bool big_endian = false;                  // byte order of their numbers
  int sample_rate_hz = 0;                   // rate of the frames that they count
  std::vector<MetadataChunk> chunks;        // without those that describe the sound itself
  std::vector<MetadataChunk> flac_blocks;   // APPLICATION and CUESHEET, with their header; the id is their name

  TagLib::PropertyMap texts;
  std::vector<MetadataPicture> pictures;
  TagLib::ByteVector id3;  // the whole ID3v2 tag, if there is one: it holds more than texts and pictures

  std::vector<std::string> left_out;  // names of chunks that are too large, or meaningless at this rate
};

// Reads the contents of the chunks in a map. [any thread]
Metadata metadata_of_chunks(ByteSource& source, const ChunkMap& map);

// Adds the chunks after the sound of a pipe.
void add_chunks_behind(Metadata& metadata, ByteSource& source, const ChunkMap& map, uint64_t at);

// For FLAC, Ogg and MP3. Empty if the file cannot be read. [any thread]
Metadata metadata_of_tags(const std::filesystem::path& path, int format);

// The chunks for a WAV file; `lost` gets names of what it cannot hold.
std::vector<MetadataChunk> wav_chunks_of(const Metadata& metadata, std::vector<std::string>& lost);

// Writes to a complete file of `format` what it can hold, and returns names of what it cannot hold. `descriptor` must
// be readable and writable. Throws Failure that starts with `name`. [any thread]
std::vector<std::string> write_metadata(int descriptor, const std::string& name, int format, const Metadata& metadata);

// Writes the loudspeakers of the channels to a complete FLAC file. `descriptor` and `name` as above. [any thread]
void write_flac_mask(int descriptor, const std::string& name, uint32_t mask);

}  // namespace coil::cli
