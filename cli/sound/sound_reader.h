// Sound coming in: a file of any format that libsndfile knows, or a WAV stream through a pipe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

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

  // libsndfile's handle, for the metadata; null for a stream.
  virtual sf_private_tag* handle() { return nullptr; }

 protected:
  SoundInfo info_;
};

// "-" is the WAV stream on standard input. Pipes and devices in the file system are read as WAV streams, too.
std::unique_ptr<SoundReader> open_reader(const std::filesystem::path& path);

}  // namespace coil::cli
