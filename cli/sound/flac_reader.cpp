// A FLAC reader on libFLAC's decoder. Source of the format: RFC 9639.
#include "cli/sound/flac_reader.h"

#include <FLAC/stream_decoder.h>
#include <sndfile.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/failure.h"
#include "cli/interrupt.h"
#include "cli/sound/id3.h"
#include "cli/text.h"

namespace coil::cli {
namespace {

constexpr size_t kScanBytes = 1 << 18;
constexpr std::string_view kMarker = "fLaC";
constexpr int64_t kLongestGap = int64_t{1} << 30;  // frames; larger jumps of frame numbers are not believed

std::string text_at(ByteSource& source, uint64_t at, size_t count) {
  std::string text(count, '\0');
  text.resize(source.read_at(at, {reinterpret_cast<uint8_t*>(text.data()), count}));
  return text;
}

// Where the frames start of the file whose marker is at `offset`. Pictures may contain any bytes, even markers.
uint64_t skip_metadata(ByteSource& source, uint64_t offset) {
  offset += kMarker.size();
  uint8_t head[4] = {};
  while (source.read_at(offset, head) == sizeof head && head[0] != 0xff) {
    offset += sizeof head + (head[1] << 16 | head[2] << 8 | head[3]);
    if (head[0] & 0x80) break;
  }
  return offset;
}

// The next marker that is followed by a STREAMINFO block; nullopt: none.
std::optional<uint64_t> find_marker(ByteSource& source, uint64_t offset) {
  constexpr size_t kHeadBytes = 8;
  for (;;) {
    const std::string block = text_at(source, offset, kScanBytes);
    if (block.size() < kHeadBytes) return std::nullopt;
    for (size_t at = block.find(kMarker); at != std::string::npos && at + kHeadBytes <= block.size();
         at = block.find(kMarker, at + 1)) {
      const std::string_view head = std::string_view(block).substr(at + kMarker.size(), 4);
      if ((head[0] & 0x7f) == 0 && head.substr(1) == std::string_view("\0\0\x22", 3)) return offset + at;
    }
    offset += block.size() - kHeadBytes + 1;
  }
}

struct Link {
  uint64_t begin = 0, end = 0;  // bytes
};

// The joined files; usually there is only one.
std::vector<Link> find_links(ByteSource& source) {
  std::vector<Link> links;
  for (std::optional<uint64_t> at = id3_bytes(source); at; at = find_marker(source, skip_metadata(source, *at))) {
    throw_if_interrupted();
    if (!links.empty()) links.back().end = *at;
    links.push_back({*at, source.size().value_or(0)});
  }
  return links;
}

// Decodes one link.
class Decoder {
 public:
  Decoder(const std::filesystem::path& path, std::shared_ptr<ByteSource> source, Link link)
      : path_(path), source_(std::move(source)), link_(link), at_(link.begin) {
    FLAC__stream_decoder_set_md5_checking(decoder_.get(), true);
    FLAC__stream_decoder_set_metadata_respond(decoder_.get(), FLAC__METADATA_TYPE_VORBIS_COMMENT);
    const auto status = FLAC__stream_decoder_init_stream(decoder_.get(), on_read, on_seek, on_tell, on_length,
                                                         is_at_end, on_frame, on_metadata, on_error, this);
    if (status != FLAC__STREAM_DECODER_INIT_STATUS_OK) {
      throw Failure(kFailed,
                    in_quotes(path_) + ": cannot be read as FLAC: " + FLAC__StreamDecoderInitStatusString[status]);
    }
    while (position_ == 0 && !streaminfo_wrong_ && advance()) {
    }
  }

  int channels() const { return channels_; }
  int sample_rate_hz() const { return sample_rate_hz_; }
  int bits() const { return bits_; }
  int64_t total() const { return total_; }  // frames, from STREAMINFO; 0: unknown
  int64_t decoded() const { return position_; }
  ChannelMask channel_mask() const { return channel_mask_; }  // from a tag
  // True if the first frame contradicts STREAMINFO; then the frame numbers are not reliable either.
  bool is_streaminfo_wrong() const { return streaminfo_wrong_; }

  // Returns fewer frames than requested only at the end. Then faults() are complete.
  int64_t read(std::span<float> out) {
    size_t filled = 0;
    while (filled < out.size()) {
      if (silence_ > 0) {
        const size_t count = static_cast<size_t>(std::min<int64_t>((out.size() - filled) / channels_, silence_));
        std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(filled), count * channels_, 0.0f);
        silence_ -= static_cast<int64_t>(count);
        filled += count * channels_;
      } else if (used_ < block_.size()) {
        const size_t count = std::min(out.size() - filled, block_.size() - used_);
        std::copy_n(block_.begin() + static_cast<std::ptrdiff_t>(used_), count,
                    out.begin() + static_cast<std::ptrdiff_t>(filled));
        used_ += count;
        filled += count;
      } else if (!advance() && silence_ == 0 && used_ == block_.size()) {
        break;
      }
    }
    return static_cast<int64_t>(filled) / channels_;
  }

  const SoundFaults& faults() const { return faults_; }

 private:
  static Decoder& self(void* data) { return *static_cast<Decoder*>(data); }

  static FLAC__StreamDecoderReadStatus on_read(const FLAC__StreamDecoder*, FLAC__byte bytes[], size_t* count,
                                               void* data) {
    return self(data).take_bytes(bytes, *count);
  }
  static FLAC__StreamDecoderSeekStatus on_seek(const FLAC__StreamDecoder*, FLAC__uint64 offset, void* data) {
    self(data).at_ = self(data).link_.begin + offset;
    return FLAC__STREAM_DECODER_SEEK_STATUS_OK;
  }
  static FLAC__StreamDecoderTellStatus on_tell(const FLAC__StreamDecoder*, FLAC__uint64* offset, void* data) {
    *offset = self(data).at_ - self(data).link_.begin;
    return FLAC__STREAM_DECODER_TELL_STATUS_OK;
  }
  static FLAC__StreamDecoderLengthStatus on_length(const FLAC__StreamDecoder*, FLAC__uint64* length, void* data) {
    *length = self(data).link_.end - self(data).link_.begin;
    return FLAC__STREAM_DECODER_LENGTH_STATUS_OK;
  }
  static FLAC__bool is_at_end(const FLAC__StreamDecoder*, void* data) {  // called before each read
    const bool ends = self(data).at_ >= self(data).link_.end;
    self(data).input_ended_ = self(data).input_ended_ || ends;
    return ends;
  }
  static FLAC__StreamDecoderWriteStatus on_frame(const FLAC__StreamDecoder*, const FLAC__Frame* frame,
                                                 const FLAC__int32* const samples[], void* data) {
    self(data).take_frame(frame->header, samples);
    return FLAC__STREAM_DECODER_WRITE_STATUS_CONTINUE;
  }
  static void on_metadata(const FLAC__StreamDecoder*, const FLAC__StreamMetadata* metadata, void* data) {
    if (metadata->type == FLAC__METADATA_TYPE_VORBIS_COMMENT) self(data).read_tags(metadata->data.vorbis_comment);
    if (metadata->type != FLAC__METADATA_TYPE_STREAMINFO) return;
    const FLAC__StreamMetadata_StreamInfo& info = metadata->data.stream_info;
    self(data).set_format(info.channels, info.sample_rate, info.bits_per_sample);
    self(data).total_ = static_cast<int64_t>(info.total_samples);
    self(data).largest_block_ = info.max_blocksize;
  }
  static void on_error(const FLAC__StreamDecoder*, FLAC__StreamDecoderErrorStatus, void* data) {
    self(data).note_error();
  }

  void read_tags(const FLAC__StreamMetadata_VorbisComment& tags) {
    constexpr std::string_view kMaskTag = "WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x";
    for (FLAC__uint32 i = 0; i < tags.num_comments; ++i) {
      const std::string_view text(reinterpret_cast<const char*>(tags.comments[i].entry), tags.comments[i].length);
      uint32_t mask = 0;
      if (text.substr(0, kMaskTag.size()) != kMaskTag) continue;
      if (std::from_chars(text.data() + kMaskTag.size(), text.data() + text.size(), mask, 16).ec == std::errc())
        channel_mask_ = mask;
    }
  }

  FLAC__StreamDecoderReadStatus take_bytes(FLAC__byte* bytes, size_t& count) {
    const uint64_t left = link_.end - std::min(at_, link_.end);
    try {
      count = source_->read_at(at_, {bytes, static_cast<size_t>(std::min<uint64_t>(left, count))});
    } catch (...) {  // exceptions must not pass through libFLAC, which is C
      fault_ = std::current_exception();
      return FLAC__STREAM_DECODER_READ_STATUS_ABORT;
    }
    at_ += count;
    return count == 0 ? FLAC__STREAM_DECODER_READ_STATUS_END_OF_STREAM : FLAC__STREAM_DECODER_READ_STATUS_CONTINUE;
  }

  void set_format(unsigned channels, unsigned sample_rate_hz, unsigned bits) {
    channels_ = static_cast<int>(channels);
    sample_rate_hz_ = static_cast<int>(sample_rate_hz);
    bits_ = static_cast<int>(bits);
  }

  void take_frame(const FLAC__FrameHeader& header, const FLAC__int32* const samples[]) {
    ++frames_at_once_;
    header_ = header;
    const float scale = std::ldexp(1.0f, 1 - static_cast<int>(header.bits_per_sample));
    block_.resize(static_cast<size_t>(header.blocksize) * header.channels);
    for (size_t i = 0, at = 0; i < header.blocksize; ++i) {
      for (unsigned c = 0; c < header.channels; ++c) block_[at++] = static_cast<float>(samples[c][i]) * scale;
    }
  }

  // Determines the position of a decoded frame.
  void place_frame() {
    if (channels_ == 0) set_format(header_.channels, header_.sample_rate, header_.bits_per_sample);
    streaminfo_wrong_ = position_ == 0 && !has_format(header_);
    const auto number = static_cast<int64_t>(header_.number.sample_number);
    const int64_t end = number + header_.blocksize;
    FLAC__stream_decoder_get_decode_position(decoder_.get(), &good_bytes_);
    if (!has_format(header_) || number < position_ || (total_ > 0 ? end > total_ : number - position_ > kLongestGap)) {
      note_error();
      used_ = block_.size();
      return;
    }
    silence_ = number - position_;
    if (silence_ > 0 || error_) note_damage(silence_);
    error_ = input_ended_ = false;
    used_ = 0;
    position_ = end;
  }

  bool has_format(const FLAC__FrameHeader& header) const {
    return static_cast<int>(header.channels) == channels_ && static_cast<int>(header.bits_per_sample) == bits_ &&
           static_cast<int>(header.sample_rate) == sample_rate_hz_ &&
           (largest_block_ == 0 || header.blocksize <= largest_block_);
  }

  void note_error() {
    // A truncated frame causes errors too.
    if (!error_) cut_off_ = input_ended_;
    error_ = true;
  }

  void note_damage(int64_t lost_frames) {
    if (faults_.damaged_places++ == 0) faults_.first_damage_frame = position_;
    faults_.lost_frames += lost_frames;
  }

  // Advances to the next frame; false: there is none, and faults_ are complete.
  bool advance() {
    if (ended_) return false;
    bool goes_on = decode();
    if (frames_at_once_ > 1) {
      // libFLAC inserts silence for some of the missing frames; versions before 1.4.3 also silence the frame after
      // them. After a flush it has no previous frame, and does neither.
      FLAC__stream_decoder_flush(decoder_.get());
      on_seek(nullptr, good_bytes_, this);
      goes_on = decode();
    }
    if (frames_at_once_ > 0) place_frame();
    if (fault_) std::rethrow_exception(std::exchange(fault_, nullptr));
    if (!goes_on) end();
    return goes_on;
  }

  bool decode() {
    frames_at_once_ = 0;
    if (!FLAC__stream_decoder_process_single(decoder_.get())) return false;
    const FLAC__StreamDecoderState state = FLAC__stream_decoder_get_state(decoder_.get());
    return state != FLAC__STREAM_DECODER_END_OF_STREAM && state != FLAC__STREAM_DECODER_ABORTED;
  }

  void end() {
    ended_ = true;
    const bool checksum_differs = !FLAC__stream_decoder_finish(decoder_.get());
    const int64_t missing = std::max<int64_t>(total_ - position_, 0);
    if (missing > 0 && error_ && !cut_off_ && missing < kLongestGap) {
      note_damage(missing);
      silence_ = missing;
      position_ = total_;
    } else if (missing > 0) {
      faults_.truncated = true;
    } else if (checksum_differs && faults_.damaged_places == 0) {
      faults_.checksum_differs = true;
    }
  }

  std::filesystem::path path_;
  std::shared_ptr<ByteSource> source_;
  Link link_;
  uint64_t at_;  // of the next read
  std::exception_ptr fault_;
  std::unique_ptr<FLAC__StreamDecoder, decltype(&FLAC__stream_decoder_delete)> decoder_{FLAC__stream_decoder_new(),
                                                                                        &FLAC__stream_decoder_delete};
  int channels_ = 0, sample_rate_hz_ = 0, bits_ = 0;
  ChannelMask channel_mask_;
  int64_t total_ = 0, position_ = 0;  // frames
  FLAC__uint64 good_bytes_ = 0;       // where the last frame ends
  int frames_at_once_ = 0;            // largest number per call of libFLAC
  FLAC__FrameHeader header_{};        // of block_
  std::vector<float> block_;
  int64_t silence_ = 0;       // frames of silence before block_
  size_t used_ = 0;           // of block_
  bool error_ = false;        // since the last good frame
  bool cut_off_ = false;      // the input ended before that error
  bool input_ended_ = false;  // since the last good frame
  bool ended_ = false;
  bool streaminfo_wrong_ = false;
  unsigned largest_block_ = 0;  // from STREAMINFO
  SoundFaults faults_;
};

class FlacReader final : public SoundReader {
 public:
  FlacReader(const std::filesystem::path& path, std::shared_ptr<ByteSource> source, FlacContainer container)
      : path_(path), source_(std::move(source)), container_(container), links_(find_links(*source_)) {
    open_link();
    if (decoder_->channels() == 0)
      throw Failure(kFailed, in_quotes(path) + ": no sound can be found in this FLAC file; it is damaged or empty");
    const int bits = decoder_->bits();
    const int subtype = bits <= 8    ? SF_FORMAT_PCM_S8
                        : bits <= 16 ? SF_FORMAT_PCM_16
                        : bits <= 24 ? SF_FORMAT_PCM_24
                                     : SF_FORMAT_PCM_32;
    const int major = container_ == FlacContainer::kNone ? SF_FORMAT_FLAC : SF_FORMAT_OGG;
    info_ = {decoder_->sample_rate_hz(), decoder_->channels(), major | subtype, -1, decoder_->channel_mask()};
    if (!info_.channel_mask) info_.channel_mask = layout_of_format(SF_FORMAT_FLAC, info_.channels).mask;
    if (links_.size() == 1 && decoder_->total() > 0) info_.frames = decoder_->total();
  }

  int64_t read(std::span<float> out) override {
    throw_if_interrupted();
    int64_t frames = 0;
    while (link_ < links_.size() && frames < static_cast<int64_t>(out.size()) / info_.channels) {
      const int64_t more = decoder_->read(out.subspan(static_cast<size_t>(frames) * info_.channels));
      frames += more;
      if (more == 0) next_link();
    }
    return frames;
  }

  SoundFaults faults() const override { return faults_; }

 private:
  void open_link() {
    decoder_.emplace(path_, source_, links_[link_]);
    if (!decoder_->is_streaminfo_wrong()) return;
    // Without it, libFLAC takes everything from the frames.
    Link& link = links_[link_];
    link.begin = skip_metadata(*source_, link.begin);
    decoder_.emplace(path_, source_, link);
    SoundFaults damage;
    damage.damaged_places = 1;
    faults_.add(damage, frames_before_);
  }

  void next_link() {
    faults_.add(decoder_->faults(), frames_before_);
    frames_before_ += decoder_->decoded();
    if (++link_ == links_.size()) {
      if (decoder_->total() == 0 && container_ == FlacContainer::kOggCutOff) faults_.truncated = true;
      return;
    }
    open_link();
    if (decoder_->channels() == info_.channels && decoder_->sample_rate_hz() == info_.sample_rate_hz) return;
    faults_.left_out = describe_left_out(links_.size() - link_, decoder_->channels(), decoder_->sample_rate_hz());
    link_ = links_.size();
  }

  std::filesystem::path path_;
  std::shared_ptr<ByteSource> source_;
  FlacContainer container_;
  std::vector<Link> links_;
  std::optional<Decoder> decoder_;  // of links_[link_]
  size_t link_ = 0;
  int64_t frames_before_ = 0;  // that link
  SoundFaults faults_;         // of the previous links
};

}  // namespace

bool is_flac(ByteSource& source) { return text_at(source, id3_bytes(source), kMarker.size()) == kMarker; }

std::unique_ptr<SoundReader> open_flac(const std::filesystem::path& path, std::shared_ptr<ByteSource> source,
                                       FlacContainer container) {
  return std::make_unique<FlacReader>(path, std::move(source), container);
}

}  // namespace coil::cli
