// How long files without chunks say they are; libsndfile reads what is there of them, and does not say what is missing.
#pragma once

#include <vector>

#include "cli/sound/byte_source.h"
#include "cli/sound/linked_reader.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

// Whether the file is shorter than its header says: of VOC, NIST Sphere, AVR, 8SVX and 16SV, MAT4, MAT5, MPC 2000, XI
// and SDS. PAF and IRCAM do not say it; of them, whether the last frame is cut off. Others: false. [any thread]
bool is_shorter_than_said(ByteSource& source, const SoundInfo& info);

// A VOC file that is cut off within a block, as one whose last block ends there: libsndfile refuses some that are cut
// off. Empty: it is another file. [any thread]
std::vector<SoundLink> cut_off_voc(ByteSource& source);

}  // namespace coil::cli
