// How much the encoders with loss are told to keep: MP3, Ogg Vorbis, Opus.
#pragma once

#include <sndfile.h>

#include <filesystem>
#include <optional>

#include "cli/sound/sound_format.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

// kbit/s of all channels together in a file of one of these formats, without tags and pictures; 0: it is of another
// format, or does not say.
int bit_rate_of(const std::filesystem::path& path, int format);

struct EncoderSetting {
  std::optional<double> compression;  // libsndfile's, 0 to 1; none: its default
  bool is_constant = false;           // MP3: every second gets as many bits
  int most_kbits = 0;                 // all that the encoder has, where more was wanted; else 0
};

// For an output of this rate, format and number of channels. Without a `quality`: no lower bit rate than `input_kbits`,
// and than the encoder's usual quality. Formats without loss get nothing. [any thread]
EncoderSetting choose_setting(const std::optional<Quality>& quality, const SoundInfo& output, int input_kbits);

// Before anything is written to `file`. [any thread]
void apply_setting(SNDFILE* file, const EncoderSetting& setting);

}  // namespace coil::cli
