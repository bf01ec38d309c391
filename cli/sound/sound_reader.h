// Sound input: a file of any format of libsndfile, or a stream through a pipe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/sound/channel_layout.h"

namespace coil::cli {

struct Metadata;

struct SoundInfo {
  int sample_rate_hz = 0;
  int channels = 0;
  int format = 0;       // libsndfile's
  int64_t frames = -1;  // -1: unknown until the end
  ChannelMask channel_mask;
};

// Faults of an input that was read as far as possible.
struct SoundFaults {
  bool truncated = false;  // shorter than stated
  // The header does not state the length, or states less than exists: the file was never finalised, or its sizes
  // wrapped around.
  bool unfinalised = false;
  std::vector<std::string> damaged_chunks;  // names of damaged chunks, which were left out
  int64_t damaged_places = 0;               // places with corrupted bytes
  int64_t lost_frames = 0;                  // in those places, as far as it is known
  int64_t first_damage_frame = 0;           // position in the sound as it was read
  bool checksum_differs = false;            // damage at an unknown position
  std::string left_out;                     // sound that was not read, and why; empty: none

  bool damaged() const { return damaged_places > 0 || checksum_differs; }

  // Adds the faults of a part that follows `frames_before` frames.
  void add(const SoundFaults& next, int64_t frames_before);
};

// One thread at a time. All throw Failure that names the file.
class SoundReader {
 public:
  virtual ~SoundReader() = default;

  const SoundInfo& info() const { return info_; }

  // Interleaved, with channels in WAV's order. Returns the number of frames; fewer than requested only at the end. Also
  // throws Interrupted.
  virtual int64_t read(std::span<float> out) = 0;

  // Complete after the end.
  virtual SoundFaults faults() const = 0;

  virtual bool is_stream() const { return false; }

  // Null: unknown. For a stream it is complete after the end.
  std::shared_ptr<const Metadata> metadata() const { return metadata_; }
  void set_metadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }

 protected:
  SoundInfo info_;

 private:
  std::shared_ptr<const Metadata> metadata_;
};

// "2 more files that were joined to it, the first of 2 channels at 44100 Hz"
std::string describe_left_out(size_t links, int channels, int sample_rate_hz);

// "-" is standard input. Standard input, pipes and devices are read once and forward; they must be RIFF, W64, AIFF, CAF
// or AU.
std::unique_ptr<SoundReader> open_reader(const std::filesystem::path& path);

}  // namespace coil::cli
