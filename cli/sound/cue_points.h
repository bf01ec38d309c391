// Cue points and what samplers are told of a sound, between the chunks of RIFF and those of AIFF.
#pragma once

#include <string>
#include <vector>

#include "cli/sound/metadata.h"

namespace coil::cli {

// 'cue ', labels of LIST adtl, 'smpl' and 'inst' as 'MARK' and 'INST', and the other way round; nothing between other
// families. `lost` gets names of chunks of which something cannot be said there. [any thread]
std::vector<MetadataChunk> translated_cues(const Metadata& metadata, ChunkFamily to, std::vector<std::string>& lost);

// Whether translated_cues() says all that this chunk says, or names it.
bool holds_cues(const Metadata& metadata, const MetadataChunk& chunk, ChunkFamily to);

}  // namespace coil::cli
