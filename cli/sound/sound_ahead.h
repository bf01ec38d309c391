// Decodes and encodes on separate threads, in parallel with the processing.
#pragma once

#include <memory>

#include "cli/sound/sound_reader.h"
#include "cli/sound/sound_writer.h"

namespace coil::cli {

// Reads some blocks of `frames` ahead, from the first read() on. read() rethrows what `reader` throws.
std::unique_ptr<SoundReader> read_ahead(std::unique_ptr<SoundReader> reader, int frames);

// Writes some calls of write() behind. A later write() or commit() rethrows what `writer` throws.
std::unique_ptr<SoundWriter> write_behind(std::unique_ptr<SoundWriter> writer);

}  // namespace coil::cli
