// Readers on libsndfile and on WavStreamReader.
#include "cli/sound/sound_reader.h"

#include <fcntl.h>
#include <sndfile.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/sound/flac_reader.h"
#include "cli/text.h"
#include "cli/sound/wav_stream.h"

namespace coil::cli {
namespace {

// libsndfile mends the sizes of a RIFF or FORM file that was cut off, and says nothing.
bool is_cut_off(const std::filesystem::path& path) {
  unsigned char head[8] = {};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(head), sizeof head)) return false;
  const bool riff = std::memcmp(head, "RIFF", 4) == 0;
  if (!riff && std::memcmp(head, "FORM", 4) != 0) return false;
  uint64_t size = 0;
  for (int i = 0; i < 4; ++i) size = size << 8 | head[riff ? 7 - i : 4 + i];
  std::error_code error;
  const uint64_t found = std::filesystem::file_size(path, error);
  return !error && size < 0x7ffff000 && found < size + sizeof head - 1;  // some writers leave the last padding byte out
}

class FileReader final : public SoundReader {
 public:
  explicit FileReader(const std::filesystem::path& path) : path_(path), cut_off_(is_cut_off(path)) {
    SF_INFO info = {};
    file_ = sf_open(path.c_str(), SFM_READ, &info);
    if (file_ == nullptr) {
      throw Failure(kFailed, in_quotes(path) + ": cannot be read as a sound file: " + sf_strerror(nullptr));
    }
    // Ogg need not say how long it is; libsndfile then gives its largest number.
    info_ = {info.samplerate, info.channels, info.format, info.frames < SF_COUNT_MAX ? info.frames : -1};
  }
  ~FileReader() override { sf_close(file_); }

  int64_t read(std::span<float> out) override {
    throw_if_interrupted();
    const sf_count_t frames = sf_readf_float(file_, out.data(), static_cast<sf_count_t>(out.size()) / info_.channels);
    frames_read_ += frames;
    return frames;
  }

  SoundFaults faults() const override {
    SoundFaults faults;
    const int container = info_.format & SF_FORMAT_TYPEMASK;
    if (container == SF_FORMAT_MPEG) return faults;  // its length may be an estimate
    const bool no_last_page = container == SF_FORMAT_OGG && info_.frames < 0;
    faults.truncated = no_last_page || cut_off_ || frames_read_ < info_.frames;
    return faults;
  }

  sf_private_tag* handle() override { return file_; }

 private:
  std::filesystem::path path_;
  bool cut_off_;
  SNDFILE* file_ = nullptr;
  int64_t frames_read_ = 0;
};

class StreamReader final : public SoundReader {
 public:
  StreamReader(int descriptor, const std::string& name) : stream_(descriptor, name), descriptor_(descriptor) {
    info_ = {stream_.sample_rate_hz(), stream_.channels(), stream_.format(), stream_.frames()};
  }
  ~StreamReader() override {
    if (descriptor_ != STDIN_FILENO) ::close(descriptor_);
  }

  int64_t read(std::span<float> out) override {
    const int64_t frames = stream_.read(out);
    frames_read_ += frames;
    return frames;
  }

  SoundFaults faults() const override {
    SoundFaults faults;
    faults.truncated = info_.frames >= 0 && frames_read_ < info_.frames;
    return faults;
  }
  bool is_stream() const override { return true; }

 private:
  WavStreamReader stream_;
  int descriptor_;
  int64_t frames_read_ = 0;
};

}  // namespace

void SoundFaults::add(const SoundFaults& next, int64_t frames_before) {
  truncated = truncated || next.truncated;
  if (damaged_places == 0 && next.damaged_places > 0) first_damage_frame = frames_before + next.first_damage_frame;
  damaged_places += next.damaged_places;
  lost_frames += next.lost_frames;
  checksum_differs = checksum_differs || next.checksum_differs;
  if (left_out.empty()) left_out = next.left_out;
}

std::string describe_left_out(size_t links, int channels, int sample_rate_hz) {
  return std::to_string(links) + " more " + (links == 1 ? "file that was" : "files that were") + " joined to it, " +
         (links == 1 ? "" : "the first ") + "of " + counted(channels, "channel") + " at " + std::to_string(sample_rate_hz) + " Hz";
}

std::unique_ptr<SoundReader> open_reader(const std::filesystem::path& path) {
  if (path == "-") return std::make_unique<StreamReader>(STDIN_FILENO, "standard input");
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::is_directory(status)) throw Failure(kFailed, in_quotes(path) + ": is a folder, not a sound file");
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw Failure(kFailed, in_quotes(path) + ": cannot be opened: " + std::strerror(errno));
  if (!std::filesystem::is_regular_file(status)) return std::make_unique<StreamReader>(descriptor, in_quotes(path));
  ::close(descriptor);
  if (is_flac(path)) return open_flac(path);
  return std::make_unique<FileReader>(path);
}

}  // namespace coil::cli
