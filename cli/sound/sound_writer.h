// Sound going out: a file that appears only when it is complete, or a WAV stream on standard output.
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
  // Without commit() before, nothing is left behind.
  virtual ~SoundWriter() = default;

  // Interleaved.
  virtual void write(std::span<const float> in) = 0;

  // All was written: the file takes its name.
  virtual void commit() = 0;

  // libsndfile's container and sample format. After commit(): a WAV file that passed 4 GiB has become RF64.
  int format() const { return format_; }

  // After commit(): names of kinds of metadata that the output cannot hold.
  const std::vector<std::string>& lost_metadata() const { return lost_metadata_; }

 protected:
  int format_ = 0;
  std::vector<std::string> lost_metadata_;
};

// Whether `path` is standard output ("-"), a pipe or a device, which get WAV unless they are asked for something else.
bool is_stream_output(const std::filesystem::path& path);

// WAV to standard output ("-"), a pipe or a device goes out as it comes, anything else when it is complete. `info`: the
// output's rate, channels and format, and its length if known; `dither` is for integers of 16 bits and fewer. Metadata
// is copied from `metadata_source`, where the output can hold it; into a stream goes what is known beforehand.
std::unique_ptr<SoundWriter> open_writer(const std::filesystem::path& path, const SoundInfo& info, bool dither,
                                         const EncoderSetting& setting, SoundReader& metadata_source);

}  // namespace coil::cli
