// Converts cue points and sampler data between the chunks of RIFF and those of AIFF.
#pragma once

#include <string>
#include <vector>

#include "cli/sound/metadata.h"

namespace coil::cli {

// Converts 'cue ', labels of LIST adtl, 'smpl' and 'inst' to 'MARK' and 'INST', and vice versa; nothing between other
// families. `lost` gets the names of chunks that cannot be converted completely. [any thread]
std::vector<MetadataChunk> translated_cues(const Metadata& metadata, ChunkFamily to, std::vector<std::string>& lost);

// Whether translated_cues() converts this chunk completely, or lists it as lost.
bool holds_cues(const Metadata& metadata, const MetadataChunk& chunk, ChunkFamily to);

}  // namespace coil::cli
