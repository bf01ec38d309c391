// Writers on libsndfile and on WavStreamWriter.
#include "cli/sound/sound_writer.h"

#include <fcntl.h>
#include <sndfile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "base/part_file.h"
#include "cli/sound/byte_order.h"
#include "cli/sound/chunk_walk.h"
#include "cli/sound/metadata.h"
#include "cli/sound/metadata_rate.h"
#include "cli/sound/quantiser.h"
#include "cli/sound/sound_format.h"
#include "cli/sound/sound_output.h"
#include "cli/text.h"
#include "cli/sound/wav_stream.h"

namespace coil::cli {
namespace {

constexpr int kMaxDitheredBits = 16;
constexpr int64_t kMaxWavBytes = 0xf0000000;  // below 4 GiB, with space for the other chunks

// Call before the first frame.
void write_core_audio_layout(SNDFILE* file, int format, const SoundInfo& info) {
  const int container = format & SF_FORMAT_TYPEMASK;
  if (info.channels < 3 || info.channel_mask.value_or(0) == 0 ||
      (container != SF_FORMAT_AIFF && container != SF_FORMAT_CAF))
    return;
  std::vector<uint8_t> content = core_audio_layout(format, info.channels, *info.channel_mask);
  SF_CHUNK_INFO chunk = {};
  std::memcpy(chunk.id, container == SF_FORMAT_AIFF ? "CHAN" : "chan", 4);
  chunk.id_size = 4;
  chunk.data = content.data();
  chunk.datalen = static_cast<unsigned>(content.size());
  sf_set_chunk(file, &chunk);
}

// For 0 libsndfile writes a mask of its choice, and it supports only some others. Returns false if the file cannot be
// written.
bool write_wav_mask(const std::filesystem::path& path, uint32_t mask) {
  constexpr uint64_t kMaskAt = 20;
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return false;
  FileBytes source(descriptor, in_quotes(path));
  const ChunkMap map = walk_chunks(source);
  const FoundChunk* format = map.find("fmt ");
  if (format == nullptr || !encoding_of(source, map).is_extensible) return true;
  std::vector<uint8_t> bytes;
  put_number(bytes, mask, 4, map.big_endian);
  return ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(format->at + kMaskAt)) ==
         static_cast<ssize_t>(bytes.size());
}

// The position of the format chunk in the Wave64 files that libsndfile writes; it has the short form.
constexpr int64_t kW64FormSize = 16, kW64FormatSize = 56, kW64Format = 64, kW64FormatEnd = 80, kExtension = 24;

bool has_w64_mask(const SoundInfo& info) {
  return (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_W64 && holds_mask(info.format) && info.channel_mask &&
         info.channels >= kFirstSurround;
}

// Converts it to WAVEFORMATEXTENSIBLE, in the space that was left. Returns false if the file cannot be read or written.
bool write_w64_mask(int descriptor, uint32_t mask) {
  constexpr uint64_t kTagExtensible = 0xfffe, kBitsAt = 14;
  const auto read = [&](int64_t at, size_t count) {
    std::vector<uint8_t> bytes(count);
    return ::pread(descriptor, bytes.data(), count, at) == static_cast<ssize_t>(count) ? number_in(bytes, false) : 0;
  };
  const auto write = [&](int64_t at, const std::vector<uint8_t>& bytes) {
    return ::pwrite(descriptor, bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size());
  };
  const auto number = [](uint64_t value, int count) {
    std::vector<uint8_t> bytes;
    put_number(bytes, value, count);
    return bytes;
  };
  std::vector<uint8_t> extension = number(kExtension - 2, 2);
  put_number(extension, read(kW64Format + static_cast<int64_t>(kBitsAt), 2), 2);
  put_number(extension, mask, 4);
  put_number(extension, read(kW64Format, 2), 2);
  put_text(extension, std::string_view("\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71", 14));
  const uint64_t form_size = read(kW64FormSize, 8);
  return form_size > 0 && write(kW64FormSize, number(form_size + kExtension, 8)) &&
         write(kW64FormatSize, number(static_cast<uint64_t>(kW64FormatEnd - 40 + kExtension), 8)) &&
         write(kW64Format, number(kTagExtensible, 2)) && write(kW64FormatEnd, extension);
}

// Whether libsndfile, for empty sound, writes nothing or something that it cannot read.
bool needs_sound(int format) {
  return (format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG || (format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS;
}

// A FLAC file without frames, for which libsndfile writes nothing: the marker and STREAMINFO (RFC 9639 8.2).
std::vector<uint8_t> empty_flac(const SoundInfo& info) {
  constexpr uint64_t kBlockFrames = 4096, kStreamInfoBytes = 34, kLastBlock = 0x80, kUnusedBytes = 16;  // MD5
  std::vector<uint8_t> bytes;
  put_text(bytes, "fLaC");
  put_number(bytes, kLastBlock << 24 | kStreamInfoBytes, 4, true);
  put_number(bytes, kBlockFrames, 2, true);
  put_number(bytes, kBlockFrames, 2, true);
  put_number(bytes, 0, 6, true);  // sizes of frames
  put_number(bytes,
             static_cast<uint64_t>(info.sample_rate_hz) << 44 | static_cast<uint64_t>(info.channels - 1) << 41 |
                 static_cast<uint64_t>(integer_bits(info.format) - 1) << 36,
             8, true);
  bytes.resize(bytes.size() + kUnusedBytes);
  return bytes;
}

class FileWriter final : public SoundWriter {
 public:
  FileWriter(const std::filesystem::path& path, const SoundInfo& info, bool dither, const EncoderSetting& setting,
             SoundReader& metadata_source)
      : path_(path),
        output_(path),
        rate_change_(metadata_source.info().sample_rate_hz, info.sample_rate_hz),
        channels_(info.channels),
        info_(info) {
    SF_INFO sf = {};
    sf.samplerate = info.sample_rate_hz;
    sf.channels = info.channels;
    sf.format = info.format;
    const int bits = integer_bits(info.format);
    const int64_t frame_bytes = static_cast<int64_t>(bits > 0 ? (bits + 7) / 8 : sizeof(double)) * info.channels;
    const int major = info.format & SF_FORMAT_TYPEMASK;
    const bool may_pass_4_gib = info.frames < 0 || info.frames > kMaxWavBytes / frame_bytes;
    const int wide_format = SF_FORMAT_RF64 | (info.format & SF_FORMAT_SUBMASK);
    if ((major == SF_FORMAT_WAV || major == SF_FORMAT_WAVEX) && may_pass_4_gib &&
        can_hold(wide_format, info.channels, info.sample_rate_hz)) {
      sf.format = wide_format;
    }
    is_substitute_ = sf.format != info.format;
    format_ = info.format;
    largest_ = largest_sample(format_);
    if (bits > 0) {
      quantiser_.emplace(bits, dither && bits <= kMaxDitheredBits);
    } else if (const int taken = encoder_bits(info.format)) {
      quantiser_.emplace(taken, false, Quantiser::Lowest::one_above);  // lossy encoders add their own noise
    }

    if (!output_.part().is_open())
      throw Failure(kFailed, in_quotes(path_) + ": cannot be written: " + output_.part().error());
    has_w64_mask_ = has_w64_mask(info);
    if (has_w64_mask_) output_.leave_room(kW64FormatEnd, kExtension);
    file_ = output_.open(sf);
    if (!output_.error().empty()) fail(output_.error());
    if (file_ == nullptr) {
      throw Failure(kFailed, in_quotes(path_) + ": cannot be written as " + describe_format(sf.format) + ": " +
                                 sf_strerror(nullptr));
    }
    apply_setting(file_, setting);
    // Changes back to WAV if the file is short.
    if (is_substitute_) sf_command(file_, SFC_RF64_AUTO_DOWNGRADE, nullptr, SF_TRUE);
    sf_command(file_, SFC_SET_ADD_PEAK_CHUNK, nullptr,
               SF_FALSE);  // it contains the time of day, so no two runs would be equal
    // The existing header has space for it. libsndfile writes a new one, and would take the rest of the old one for
    // sound.
    if (major == SF_FORMAT_AIFF && ::ftruncate(output_.part().descriptor(), 0) != 0) fail(std::strerror(errno));
    metadata_ = metadata_source.metadata();
    write_core_audio_layout(file_, sf.format, info);
    channel_mask_ = info.channel_mask;
    order_ = {std::nullopt, order_in_format(sf.format, info.channels, info.channel_mask)};
  }

  ~FileWriter() override {
    if (file_ != nullptr) sf_close(file_);
  }

  void write(std::span<const float> in) override {
    throw_if_interrupted();
    const sf_count_t frames = static_cast<sf_count_t>(in.size()) / channels_;
    has_sound_ = has_sound_ || frames > 0;
    clipped_.resize(in.size());
    std::transform(in.begin(), in.end(), clipped_.begin(),
                   [this](float sample) { return std::clamp(sample, -largest_, largest_); });
    order_.reorder(clipped_);
    sf_count_t written = 0;
    if (quantiser_) {
      integers_.resize(in.size());
      quantiser_->process(clipped_, integers_);
      written = sf_writef_int(file_, integers_.data(), frames);
    } else {
      written = sf_writef_float(file_, clipped_.data(), frames);
    }
    if (!output_.error().empty()) fail(output_.error());
    if (written != frames) fail(sf_strerror(file_));
  }

  void commit() override {
    if (!has_sound_ && needs_sound(format_)) {
      throw Failure(kFailed, in_quotes(path_) + ": cannot be written: the input has no sound in it, and a file of " +
                                 describe_format(format_) + " without any cannot be read");
    }
    const int error = sf_close(std::exchange(file_, nullptr));
    if (!has_sound_ && (format_ & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC) write_empty_flac();
    if (!output_.error().empty()) fail(output_.error());
    if (error != 0) fail(sf_error_number(error));
    const int container = format_ & SF_FORMAT_TYPEMASK;
    if (channel_mask_ && (container == SF_FORMAT_WAV || container == SF_FORMAT_WAVEX || container == SF_FORMAT_RF64) &&
        !write_wav_mask(output_.part().path(), *channel_mask_)) {
      fail(std::strerror(errno));
    }
    if (has_w64_mask_ && !write_w64_mask(output_.part().descriptor(), *channel_mask_)) fail(std::strerror(errno));
    if (needs_mask_tag(format_, channels_, channel_mask_))
      write_flac_mask(output_.part().descriptor(), in_quotes(path_), *channel_mask_);
    if (metadata_) {
      lost_metadata_ = write_metadata(output_.part().descriptor(), in_quotes(path_), format_,
                                      rate_change_.changes() ? at_rate(*metadata_, rate_change_) : *metadata_);
    }
    if (is_substitute_ && std::filesystem::file_size(output_.part().path()) > UINT32_MAX) {
      format_ = SF_FORMAT_RF64 | (format_ & SF_FORMAT_SUBMASK);
    }
    if (!output_.part().commit()) {
      throw_if_interrupted();  // while a pipe waited for its reader
      fail(output_.part().error());
    }
  }

 private:
  void write_empty_flac() {
    const std::vector<uint8_t> bytes = empty_flac(info_);
    const int descriptor = output_.part().descriptor();
    const bool done = ::ftruncate(descriptor, 0) == 0 &&
                      ::pwrite(descriptor, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
    if (!done) fail(std::strerror(errno));
  }

  [[noreturn]] void fail(const std::string& reason) {
    if (file_ != nullptr) sf_close(std::exchange(file_, nullptr));  // also if the constructor throws
    throw Failure(kFailed, in_quotes(path_) + ": writing failed: " + reason);
  }

  std::filesystem::path path_;
  SoundOutput output_;
  std::shared_ptr<const Metadata> metadata_;
  RateChange rate_change_;  // from the input's
  int channels_;
  ChannelMask channel_mask_;
  ChannelLayout order_;
  SNDFILE* file_ = nullptr;
  SoundInfo info_;
  bool has_sound_ = false;
  bool has_w64_mask_ = false;
  bool is_substitute_ = false;  // RF64 instead of WAV, while it may exceed 4 GiB
  std::optional<Quantiser> quantiser_;
  std::vector<int32_t> integers_;
  float largest_ = 1;
  std::vector<float> clipped_;
};

// A pipe or a device given by a path, open during the lifetime of this object.
class Pipe {
 public:
  explicit Pipe(const std::filesystem::path& path) : descriptor_(open_for_bytes(path)) {
    const int reason = errno;
    throw_if_interrupted();  // while it waited for a reader
    if (descriptor_ < 0) throw Failure(kFailed, in_quotes(path) + ": cannot be written: " + std::strerror(reason));
  }
  ~Pipe() { ::close(descriptor_); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

class StreamWriter final : public SoundWriter {
 public:
  // `path` "-" is standard output.
  StreamWriter(const std::filesystem::path& path, const SoundInfo& info, int bits, bool dither,
               std::shared_ptr<const Metadata> metadata, const RateChange& change)
      : pipe_(path == "-" ? nullptr : std::make_unique<Pipe>(path)),
        stream_(pipe_ ? pipe_->descriptor() : STDOUT_FILENO, pipe_ ? in_quotes(path) : "standard output", bits,
                info.sample_rate_hz, info.channels, info.channel_mask.value_or(0), info.frames, dither,
                metadata ? wav_chunks_of(at_rate(*metadata, change), lost_metadata_) : std::vector<MetadataChunk>()),
        metadata_(std::move(metadata)),
        chunks_before_(metadata_ ? metadata_->chunks.size() : 0) {
    format_ = SF_FORMAT_WAV | (bits == 16   ? SF_FORMAT_PCM_16
                               : bits == 24 ? SF_FORMAT_PCM_24
                               : bits == 32 ? SF_FORMAT_PCM_32
                                            : SF_FORMAT_FLOAT);
  }
  void write(std::span<const float> in) override { stream_.write(in); }
  void commit() override {
    stream_.finish();
    if (!metadata_) return;
    // Chunks after the sound of a pipe came too late.
    for (size_t i = chunks_before_; i < metadata_->chunks.size(); ++i)
      lost_metadata_.push_back(metadata_->chunks[i].id.substr(0, 4));
  }

 private:
  std::unique_ptr<Pipe> pipe_;
  WavStreamWriter stream_;
  std::shared_ptr<const Metadata> metadata_;
  size_t chunks_before_;
};

// The bits of a stream that replaces one of the rarer formats of WAV files.
int stream_bits(int format) {
  const int subtype = format & SF_FORMAT_SUBMASK;
  if (subtype == SF_FORMAT_FLOAT || subtype == SF_FORMAT_DOUBLE) return 0;
  return subtype == SF_FORMAT_PCM_24 || subtype == SF_FORMAT_PCM_32 ? integer_bits(format) : 16;
}

}  // namespace

bool is_stream_output(const std::filesystem::path& path) { return path == "-" || takes_bytes(path); }

std::unique_ptr<SoundWriter> open_writer(const std::filesystem::path& path, const SoundInfo& info, bool dither,
                                         const EncoderSetting& setting, SoundReader& metadata_source) {
  const int major = info.format & SF_FORMAT_TYPEMASK;
  const bool is_wav = major == SF_FORMAT_WAV || major == SF_FORMAT_WAVEX;
  if (path == "-" || (is_wav && takes_bytes(path))) {
    return std::make_unique<StreamWriter>(path, info, stream_bits(info.format), dither, metadata_source.metadata(),
                                          RateChange(metadata_source.info().sample_rate_hz, info.sample_rate_hz));
  }
  return std::make_unique<FileWriter>(path, info, dither, setting, metadata_source);
}

}  // namespace coil::cli
