// Reads FLAC files with libFLAC, which reports where a file is damaged; libsndfile stops there silently.
#pragma once

#include <filesystem>
#include <memory>

#include "cli/sound/byte_source.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

// The container of the FLAC data; for Ogg also whether the last page is missing.
enum class FlacContainer { kNone, kOgg, kOggCutOff };

// Whether it is native FLAC, judged by its first bytes (after ID3 tags). [any thread]
bool is_flac(ByteSource& source);

// Lost or damaged frames become silence, so that later sound keeps its position. Joined files are read one after
// another. `source`: native FLAC, extracted from its container.
std::unique_ptr<SoundReader> open_flac(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                       FlacContainer container = FlacContainer::kNone);

}  // namespace coil::cli
