// Readers on libsndfile: for files with chunks through a SoundView, for other files directly.
#include "cli/sound/sound_reader.h"

#include <fcntl.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/sound/byte_order.h"
#include "cli/sound/chunk_walk.h"
#include "cli/sound/metadata.h"
#include "cli/sound/flac_reader.h"
#include "cli/sound/linked_reader.h"
#include "cli/sound/said_length.h"
#include "cli/sound/sound_view.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

[[noreturn]] void fail_to_read(const std::string& name) {
  throw Failure(kFailed, name + ": cannot be read as a sound file: " + sf_strerror(nullptr));
}

SoundInfo info_of(const SF_INFO& info) {
  SoundInfo result;
  result.sample_rate_hz = info.samplerate;
  result.channels = info.channels;
  result.format = info.format;
  // FLAC need not state its length; libsndfile then returns its largest number.
  result.frames = info.frames < SF_COUNT_MAX ? info.frames : -1;
  return result;
}

// For formats without chunks.
class FileReader final : public SoundReader {
 public:
  FileReader(const std::filesystem::path& path, ByteSource& source) {
    SF_INFO info = {};
    file_ = sf_open(path.c_str(), SFM_READ, &info);
    if (file_ == nullptr) fail_to_read(in_quotes(path));
    info_ = info_of(info);
    is_short_ = is_shorter_than_said(source, info_);
    layout_ = layout_of_format(info_.format, info_.channels);
    info_.channel_mask = layout_.mask;
  }
  ~FileReader() override { sf_close(file_); }

  int64_t read(std::span<float> out) override {
    throw_if_interrupted();
    const sf_count_t frames = sf_readf_float(file_, out.data(), static_cast<sf_count_t>(out.size()) / info_.channels);
    frames_read_ += frames;
    layout_.reorder(out.first(static_cast<size_t>(frames) * info_.channels));
    return frames;
  }

  SoundFaults faults() const override {
    SoundFaults faults;
    const int container = info_.format & SF_FORMAT_TYPEMASK;
    if (container == SF_FORMAT_MPEG) return faults;  // its length may be an estimate
    const bool no_last_page = container == SF_FORMAT_OGG && info_.frames < 0;
    faults.truncated = is_short_ || no_last_page || frames_read_ < info_.frames;
    return faults;
  }

 private:
  SNDFILE* file_ = nullptr;
  ChannelLayout layout_;
  bool is_short_ = false;
  int64_t frames_read_ = 0;
};

// As stated in the header; kept even if it makes no sense, because it belongs to the file.
ChannelLayout layout_of_chunks(ByteSource& source, const ChunkMap& map, bool is_extensible, int channels) {
  constexpr size_t kMaskAt = 20, kMaskBytes = 4, kLongest = 4096;
  ChannelLayout layout;
  if (map.family == ChunkFamily::aiff || map.family == ChunkFamily::caf) {
    const FoundChunk* chunk = map.find(map.family == ChunkFamily::aiff ? "CHAN" : "chan");
    if (chunk != nullptr) layout = layout_of_core_audio(content_of(source, *chunk, kLongest), channels);
  } else if (is_extensible) {
    const FoundChunk* chunk = map.find(map.family == ChunkFamily::w64 ? w64_guid("fmt ") : "fmt ");
    const std::vector<uint8_t> content =
        chunk != nullptr ? content_of(source, *chunk, kLongest) : std::vector<uint8_t>();
    if (content.size() >= kMaskAt + kMaskBytes) {
      layout.mask = static_cast<uint32_t>(number_in(std::span(content).subspan(kMaskAt, kMaskBytes), map.big_endian));
    }
  }
  return layout;
}

// For chunks and their sound, from a file or through a pipe.
class ChunkReader final : public SoundReader {
 public:
  ChunkReader(std::shared_ptr<ByteSource> source, ChunkMap map, const std::string& name)
      : map_(std::move(map)),
        name_(name),
        view_(source, map_, name),
        is_stream_(!source->size()),
        source_(std::move(source)) {
    SF_INFO info = {};
    file_ = view_.open(info);
    if (file_ == nullptr) fail_to_read(name);
    info_ = info_of(info);
    // The view may be RF64 because of its sizes.
    if ((info_.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_RF64) {
      info_.format =
          (view_.encoding().is_extensible ? SF_FORMAT_WAVEX : SF_FORMAT_WAV) | (info_.format & SF_FORMAT_SUBMASK);
    }
    frames_opened_ = info.frames;
    if (is_stream_) info_.frames = frames_said();
    chunks_ = std::make_shared<Metadata>(metadata_of_chunks(*source_, map_));
    chunks_->sample_rate_hz = info_.sample_rate_hz;
    set_metadata(chunks_);
    layout_ = layout_of_alac(info_.format, info_.channels,
                             layout_of_chunks(*source_, map_, view_.encoding().is_extensible, info_.channels));
    info_.channel_mask = layout_.mask;
  }
  ~ChunkReader() override { sf_close(file_); }

  int64_t read(std::span<float> out) override {
    throw_if_interrupted();
    const auto wanted = static_cast<sf_count_t>(out.size()) / info_.channels;
    sf_count_t frames = sf_readf_float(file_, out.data(), wanted);
    view_.rethrow();
    frames = std::clamp<sf_count_t>(frames_there() - frames_read_, 0, frames);
    frames_read_ += frames;
    layout_.reorder(out.first(static_cast<size_t>(frames) * info_.channels));
    if (is_stream_ && frames == 0 && !(map_.sound_runs_to_end && view_.encoding().block_is_frame)) drain();
    return frames;
  }

  SoundFaults faults() const override {
    SoundFaults faults;
    faults.truncated = map_.truncated || view_.packets_are_missing() || frames_read_ < info_.frames;
    faults.unfinalised = map_.unfinalised || view_.went_on();
    faults.damaged_chunks = map_.damaged;
    return faults;
  }
  bool is_stream() const override { return is_stream_; }

 private:
  // For a stream; -1: its header does not state it.
  int64_t frames_said() const {
    if (map_.sound_runs_to_end) return -1;
    const Encoding& encoding = view_.encoding();
    return encoding.block_is_frame
               ? static_cast<int64_t>(map_.sound_bytes / std::max<uint64_t>(encoding.block_bytes, 1))
               : info_.frames;
  }

  // After the end of a stream of blocks, libsndfile returns blocks of zeros.
  int64_t frames_there() const {
    const std::optional<uint64_t> bytes = view_.sound_that_was_there();
    const uint64_t block = view_.encoding().block_bytes;
    if (!is_stream_ || !bytes || block == 0 || view_.encoding().block_is_frame) return INT64_MAX;
    const auto blocks_of = [&](uint64_t count) { return static_cast<int64_t>((count + block - 1) / block); };
    return frames_opened_ / blocks_of(view_.sound_bytes()) * blocks_of(*bytes);
  }

  // Also reads what follows the samples, so that the program that writes the pipe does not get an error.
  void drain() {
    uint64_t at = map_.sound_at + std::min(view_.sound_bytes(), map_.sound_runs_to_end ? UINT64_MAX : map_.sound_bytes);
    std::vector<uint8_t> rest(1 << 12);
    const bool is_whole = view_.went_on() || sound_ends_at(*source_, map_, at);
    if (is_whole && !view_.went_on()) add_chunks_behind(*chunks_, *source_, map_, at);
    while (const size_t got = source_->read_at(at, rest)) at += got;
    if (!is_whole)
      throw Failure(kFailed,
                    name_ + ": its sound is longer than its header says; this encoding must then come from a file");
  }

  ChunkMap map_;
  std::string name_;
  SoundView view_;
  bool is_stream_;
  std::shared_ptr<ByteSource> source_;
  std::shared_ptr<Metadata> chunks_;
  SNDFILE* file_ = nullptr;
  ChannelLayout layout_;
  int64_t frames_opened_ = 0;  // according to libsndfile
  int64_t frames_read_ = 0;
};

std::unique_ptr<SoundReader> open_stream(int descriptor, bool close_it, const std::string& name) {
  auto source = std::make_shared<PipeBytes>(descriptor, close_it, name);
  ChunkMap map = walk_chunks(*source);
  if (map.family == ChunkFamily::other) {
    uint8_t first = 0;
    const bool empty = source->read_at(0, {&first, 1}) == 0;
    throw Failure(
        kFailed,
        name + (empty ? ": the stream is empty; expected WAV"
                      : ": not a WAV stream, nor W64, AIFF, CAF or AU; other formats can be read from files only"));
  }
  if (!map.has_sound)
    throw Failure(kFailed, name + ": the stream ends within its header, or its header is damaged: no sound was found");
  auto reader = std::make_unique<ChunkReader>(source, std::move(map), name);
  source->keep_little();
  return reader;
}

// Whether a file has the extension of MPEG but contains none, because libsndfile's decoder would then print many
// messages. Frames with a free bit rate do not state their length and are not found.
bool is_no_mpeg(const std::filesystem::path& path, ByteSource& source) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  if (extension != ".mp3" && extension != ".mp2") return false;
  std::array<uint8_t, 3> head = {};
  source.read_at(0, head);
  const bool is_tagged = std::memcmp(head.data(), "ID3", head.size()) == 0;
  const bool is_free = head[0] == 0xff && (head[1] & 0xe0) == 0xe0 && head[2] >> 4 == 0;
  return !is_tagged && !is_free && mpeg_links(source).empty();
}

std::unique_ptr<SoundReader> open_without_chunks(const std::filesystem::path& path,
                                                 const std::shared_ptr<ByteSource>& source) {
  if (is_flac(*source)) return open_flac(path, source);
  if (const OggFlac ogg = flac_in_ogg(source); ogg.flac)
    return open_flac(path, ogg.flac, ogg.has_end ? FlacContainer::kOgg : FlacContainer::kOggCutOff);
  if (std::vector<SoundLink> links = ogg_links(*source); !links.empty())
    return open_links(path, source, std::move(links));
  if (is_no_mpeg(path, *source))
    throw Failure(kFailed, in_quotes(path) + ": no MPEG audio was found in it; it is damaged, or of another kind");
  if (std::vector<SoundLink> voc = cut_off_voc(*source); !voc.empty()) return open_links(path, source, std::move(voc));
  SF_INFO info = {};
  const std::unique_ptr<SNDFILE, decltype(&sf_close)> probe(sf_open(path.c_str(), SFM_READ, &info), &sf_close);
  // libsndfile rejects MPEG with other data before or after it.
  if (!probe || (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG) {
    if (std::vector<SoundLink> links = mpeg_links(*source); !links.empty())
      return open_links(path, source, std::move(links));
  }
  return std::make_unique<FileReader>(path, *source);
}

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
         (links == 1 ? "" : "the first ") + "of " + counted(channels, "channel") + " at " +
         std::to_string(sample_rate_hz) + " Hz";
}

std::unique_ptr<SoundReader> open_reader(const std::filesystem::path& path) {
  if (path == "-") return open_stream(STDIN_FILENO, false, "standard input");
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::is_directory(status))
    throw Failure(kFailed, in_quotes(path) + ": is a folder, not a sound file");
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw Failure(kFailed, in_quotes(path) + ": cannot be opened: " + std::strerror(errno));
  if (!std::filesystem::is_regular_file(status)) return open_stream(descriptor, true, in_quotes(path));
  auto source = std::make_shared<FileBytes>(descriptor, in_quotes(path));
  ChunkMap map = walk_chunks(*source);
  if (map.family == ChunkFamily::other) {
    std::unique_ptr<SoundReader> reader = open_without_chunks(path, source);
    reader->set_metadata(std::make_shared<Metadata>(metadata_of_tags(path, reader->info().format)));
    return reader;
  }
  return std::make_unique<ChunkReader>(source, std::move(map), in_quotes(path));
}

}  // namespace coil::cli
