// Sound coming in: a file of any format that libsndfile knows, or a stream through a pipe.
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
  int64_t frames = -1;  // -1: not known before the end
  ChannelMask channel_mask;
};

// What was wrong with an input of which all that could be read was read.
struct SoundFaults {
  bool truncated = false;  // shorter than it says
  // The header leaves open how long it is, or says less than there is: it was never finalised, or its sizes wrapped
  // around.
  bool unfinalised = false;
  std::vector<std::string> damaged_chunks;  // names of those that were left out
  int64_t damaged_places = 0;               // where bytes are not as they were written
  int64_t lost_frames = 0;                  // in those places, as far as it can be known
  int64_t first_damage_frame = 0;           // of the sound as it was read
  bool checksum_differs = false;            // damage of which nobody knows where it is
  std::string left_out;                     // sound that was not read, and why; empty: none

  bool damaged() const { return damaged_places > 0 || checksum_differs; }

  // Joins the faults of what follows `frames_before` frames.
  void add(const SoundFaults& next, int64_t frames_before);
};

// One thread at a time. All throw Failure that names the file.
class SoundReader {
 public:
  virtual ~SoundReader() = default;

  const SoundInfo& info() const { return info_; }

  // Interleaved, channels in WAV's order; returns the number of frames, fewer than asked for only at the end. Also
  // throws Interrupted.
  virtual int64_t read(std::span<float> out) = 0;

  // Complete after the end.
  virtual SoundFaults faults() const = 0;

  virtual bool is_stream() const { return false; }

  // Null: none is known. Of a stream it is complete after the end.
  std::shared_ptr<const Metadata> metadata() const { return metadata_; }
  void set_metadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }

 protected:
  SoundInfo info_;

 private:
  std::shared_ptr<const Metadata> metadata_;
};

// "2 more files that were joined to it, the first of 2 channels at 44100 Hz"
std::string describe_left_out(size_t links, int channels, int sample_rate_hz);

// "-" is standard input. It, and pipes and devices in the file system, are read once and forward: RIFF, W64, AIFF, CAF
// or AU.
std::unique_ptr<SoundReader> open_reader(const std::filesystem::path& path);

}  // namespace coil::cli
