// FLAC files, read with libFLAC, which says where a file is damaged; libsndfile ends there without a word.
#pragma once

#include <filesystem>
#include <memory>

#include "cli/sound/byte_source.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

// What the FLAC lies in; of Ogg also whether its last page is missing.
enum class FlacContainer { kNone, kOgg, kOggCutOff };

// Whether it is native FLAC, by its first bytes (behind ID3 tags). [any thread]
bool is_flac(ByteSource& source);

// Frames that are lost or damaged come out as silence, so that what follows keeps its place in time. Files that were
// joined are read one after the other. `source`: native FLAC, taken out of its container.
std::unique_ptr<SoundReader> open_flac(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                       FlacContainer container = FlacContainer::kNone);

}  // namespace coil::cli
