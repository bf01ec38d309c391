// The quality settings of the lossy encoders: MP3, Ogg Vorbis, Opus.
#pragma once

#include <sndfile.h>

#include <filesystem>
#include <optional>

#include "cli/sound/sound_format.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

// The bit rate of a file in one of these formats, over all channels, without tags and pictures, in kbit/s; 0: another
// format, or unknown.
int bit_rate_of(const std::filesystem::path& path, int format);

struct EncoderSetting {
  std::optional<double> compression;  // libsndfile's, 0 to 1; nullopt: its default
  bool is_constant = false;           // MP3: constant bit rate
  int most_kbits = 0;                 // the encoder's maximum, if more was requested; else 0
};

// For an output of this rate, format and number of channels. Without `quality`, the bit rate is at least `input_kbits`
// and at least the encoder's default. Lossless formats have no setting. [any thread]
EncoderSetting choose_setting(const std::optional<Quality>& quality, const SoundInfo& output, int input_kbits);

// Call before anything is written to `file`. [any thread]
void apply_setting(SNDFILE* file, const EncoderSetting& setting);

}  // namespace coil::cli
