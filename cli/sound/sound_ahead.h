// Decoding and encoding on threads of their own, beside what happens to the sound in between.
#pragma once

#include <memory>

#include "cli/sound/sound_reader.h"
#include "cli/sound/sound_writer.h"

namespace coil::cli {

// Reads `reader` some blocks of `frames` ahead, from the first read() on. What it throws, read() throws.
std::unique_ptr<SoundReader> read_ahead(std::unique_ptr<SoundReader> reader, int frames);

// Writes to `writer` some calls of write() behind. What it throws, a later write() or commit() throws.
std::unique_ptr<SoundWriter> write_behind(std::unique_ptr<SoundWriter> writer);

}  // namespace coil::cli
