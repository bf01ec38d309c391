// The stated length of files without chunks. libsndfile reads what exists, and does not report what is missing.
#pragma once

#include <vector>

#include "cli/sound/byte_source.h"
#include "cli/sound/linked_reader.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

// Whether the file is shorter than its header says: for VOC, NIST Sphere, AVR, 8SVX and 16SV, MAT4, MAT5, MPC 2000, XI
// and SDS. PAF and IRCAM state no length: for them, whether the last frame is incomplete. For others false. [any
// thread]
bool is_shorter_than_said(ByteSource& source, const SoundInfo& info);

// A VOC file that is cut off inside a block, rewritten so that its last block ends there, because libsndfile rejects
// some of these. Empty: it is another file. [any thread]
std::vector<SoundLink> cut_off_voc(ByteSource& source);

}  // namespace coil::cli
