// Sound coming in: a file of any format that libsndfile knows, or a stream through a pipe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct sf_private_tag;

namespace coil::cli {

struct SoundInfo {
  int sample_rate_hz = 0;
  int channels = 0;
  int format = 0;       // libsndfile's
  int64_t frames = -1;  // -1: not known before the end
};

// One thread at a time. All throw Failure that names the file.
class SoundReader {
 public:
  virtual ~SoundReader() = default;

  const SoundInfo& info() const { return info_; }

  // Interleaved; returns the number of frames, fewer than asked for only at the end. Also throws Interrupted.
  virtual int64_t read(std::span<float> out) = 0;

  // After the end: whether the file is shorter than it says.
  virtual bool truncated() const = 0;
  // Whether its header leaves open how long it is, or says less than there is: it was never finalised, or its sizes
  // wrapped around.
  virtual bool unfinalised() const { return false; }
  // Names of chunks that are damaged and were left out.
  virtual std::vector<std::string> damaged_chunks() const { return {}; }

  virtual bool is_stream() const { return false; }

  // libsndfile's handle, for the metadata.
  virtual sf_private_tag* handle() { return nullptr; }

 protected:
  SoundInfo info_;
};

// "-" is standard input. It, and pipes and devices in the file system, are read once and forward: RIFF, W64, AIFF, CAF
// or AU.
std::unique_ptr<SoundReader> open_reader(const std::filesystem::path& path);

}  // namespace coil::cli
