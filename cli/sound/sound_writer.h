// Sound output: a file that appears only when it is complete, or a WAV stream on standard output.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/sound/encoder_quality.h"
#include "cli/sound/sound_reader.h"

namespace coil::cli {

// One thread at a time. All throw Failure that names the file.
class SoundWriter {
 public:
  // Without commit(), nothing is left behind.
  virtual ~SoundWriter() = default;

  // Interleaved.
  virtual void write(std::span<const float> in) = 0;

  // Everything was written: the file gets its final name.
  virtual void commit() = 0;

  // libsndfile's container and sample format. After commit(), a WAV file above 4 GiB has become RF64.
  int format() const { return format_; }

  // After commit(): kinds of metadata that the output cannot hold.
  const std::vector<std::string>& lost_metadata() const { return lost_metadata_; }

 protected:
  int format_ = 0;
  std::vector<std::string> lost_metadata_;
};

// Whether `path` is standard output ("-"), a pipe or a device. These get WAV unless another format is requested.
bool is_stream_output(const std::filesystem::path& path);

// Writes WAV to standard output ("-"), a pipe or a device immediately, and other formats when they are complete.
// `info`: the output's rate, channels and format, and its length if known. `dither` applies to integers of up to 16
// bits. Copies metadata from `metadata_source`, if the output can hold it; a stream gets only what is known in advance.
std::unique_ptr<SoundWriter> open_writer(const std::filesystem::path& path, const SoundInfo& info, bool dither,
                                         const EncoderSetting& setting, SoundReader& metadata_source);

}  // namespace coil::cli
