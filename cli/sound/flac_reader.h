// FLAC files, read with libFLAC, which says where a file is damaged; libsndfile ends there without a word.
#pragma once

#include <filesystem>
#include <memory>

#include "cli/sound/sound_reader.h"

namespace coil::cli {

// Whether the file is native FLAC, by its first bytes (behind ID3 tags).
bool is_flac(const std::filesystem::path& path);

// Frames that are lost or damaged come out as silence, so that what follows keeps its place in time. Files that were
// joined are read one after the other.
std::unique_ptr<SoundReader> open_flac(const std::filesystem::path& path);

}  // namespace coil::cli
