// Fields by their places. Sources: Microsoft's "New Multimedia Data Types and Data Techniques" 3.0 (cue, plst, smpl,
// adtl), EBU Tech 3285 (bext), AES46 (cart), the iXML specification 3.0; Apple's "Audio Interchange File Format 1.3"
// and "Core Audio Format Specification 1.0" (MARK, mark, regn); RFC 9639 8.7 (CUESHEET).
#include "cli/sound/metadata_rate.h"

#include <taglib/id3v2framefactory.h>
#include <taglib/id3v2tag.h>
#include <taglib/mpegfile.h>
#include <taglib/tbytevectorstream.h>
#include <taglib/textidentificationframe.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>

#include "cli/sound/byte_order.h"

namespace coil::cli {
namespace {

using Bytes = std::vector<uint8_t>;

// Numbers at offsets in a chunk's content; offsets beyond its end are ignored.
class Fields {
 public:
  Fields(Bytes& bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  bool has(size_t at, size_t count) const { return at <= bytes_.size() && count <= bytes_.size() - at; }
  uint64_t at(size_t place, size_t count) const {
    return has(place, count) ? number_in(std::span(bytes_).subspan(place, count), big_endian_) : 0;
  }
  void set(size_t place, size_t count, uint64_t value) {
    Bytes number;
    const uint64_t most = count == 8 ? UINT64_MAX : (uint64_t{1} << (8 * count)) - 1;
    put_number(number, std::min(value, most), static_cast<int>(count), big_endian_);
    if (has(place, count)) std::copy(number.begin(), number.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(place));
  }
  // A number with all bits set means unknown.
  void change(size_t place, size_t count, const RateChange& change) {
    const uint64_t value = at(place, count);
    if (value != (count == 8 ? UINT64_MAX : UINT32_MAX)) set(place, count, change.frames(value));
  }
  void change_double(size_t place, const RateChange& change) {
    if (has(place, 8)) set(place, 8, std::bit_cast<uint64_t>(change.frames(std::bit_cast<double>(at(place, 8)))));
  }
  size_t size() const { return bytes_.size(); }
  bool begins_with(std::string_view text) const {
    return bytes_.size() >= text.size() && std::memcmp(bytes_.data(), text.data(), text.size()) == 0;
  }
  std::string_view text(size_t place, size_t count) const {
    return has(place, count) ? std::string_view(reinterpret_cast<const char*>(bytes_.data()) + place, count) : "";
  }

 private:
  Bytes& bytes_;
  bool big_endian_;
};

void change_cues(Fields fields, const RateChange& change) {
  constexpr size_t kHead = 4, kCue = 24, kPosition = 4, kSampleOffset = 20;
  for (size_t at = kHead; fields.has(at, kCue); at += kCue) {
    fields.change(at + kPosition, 4, change);
    fields.change(at + kSampleOffset, 4, change);
  }
}

void change_playlist(Fields fields, const RateChange& change) {
  constexpr size_t kHead = 4, kSegment = 12, kLength = 4;
  for (size_t at = kHead; fields.has(at, kSegment); at += kSegment) fields.change(at + kLength, 4, change);
}

void change_sampler(Fields fields, const RateChange& change) {
  constexpr size_t kPeriod = 8, kHead = 36, kLoop = 24, kStart = 8, kLast = 12;
  fields.set(kPeriod, 4, change.period(fields.at(kPeriod, 4)));
  const uint64_t loops = fields.at(28, 4);
  for (uint64_t i = 0; i < loops && fields.has(kHead + i * kLoop, kLoop); ++i) {
    const size_t at = kHead + i * kLoop;
    fields.change(at + kStart, 4, change);
    fields.set(at + kLast, 4, change.last_frame(fields.at(at + kLast, 4)));
  }
}

// Texts with lengths, in a LIST of type adtl.
void change_labels(Fields fields, const RateChange& change) {
  constexpr size_t kHead = 8, kLength = 4;
  for (size_t at = 4; fields.has(at, kHead);) {
    const uint64_t size = fields.at(at + 4, 4);
    if (fields.text(at, 4) == "ltxt" && size >= kLength + 4) fields.change(at + kHead + kLength, 4, change);
    if (size > fields.size()) return;
    at += kHead + size + size % 2;
  }
}

void change_time_reference(Fields fields, const RateChange& change) {
  constexpr size_t kTimeReference = 338;  // low half first
  fields.change(kTimeReference, 8, change);
}

void change_post_timers(Fields fields, const RateChange& change) {
  constexpr size_t kTimers = 684, kTimer = 8, kEnd = kTimers + 8 * kTimer;
  for (size_t at = kTimers; at < kEnd; at += kTimer) fields.change(at + 4, 4, change);
}

void change_aiff_markers(Fields fields, const RateChange& change) {
  constexpr size_t kHead = 2, kPosition = 2, kName = 6;
  for (size_t at = kHead; fields.has(at, kName + 1);) {
    fields.change(at + kPosition, 4, change);
    const size_t name = 1 + fields.at(at + kName, 1);
    at += kName + name + name % 2;
  }
}

// Returns the end of the markers.
size_t change_caf_markers(Fields fields, size_t at, uint64_t count, const RateChange& change) {
  constexpr size_t kMarker = 28, kPosition = 4;
  for (; count > 0 && fields.has(at, kMarker); --count, at += kMarker) fields.change_double(at + kPosition, change);
  return at;
}

void change_caf_regions(Fields fields, const RateChange& change) {
  constexpr size_t kHead = 8, kRegion = 12, kMarkers = 8;
  for (size_t at = kHead; fields.has(at, kRegion);)
    at = change_caf_markers(fields, at + kRegion, fields.at(at + kMarkers, 4), change);
}

// A FLAC block with its header.
void change_cue_sheet(Fields fields, const RateChange& change) {
  constexpr size_t kBlock = 4, kLeadIn = kBlock + 128, kFlags = kLeadIn + 8, kTracks = kFlags + 259;
  constexpr size_t kTrack = 36, kIndices = 35, kIndex = 12;
  constexpr uint64_t kIsCd = 0x80, kCdRateHz = 44100;
  fields.change(kLeadIn, 8, change);
  if (change.to_hz() != kCdRateHz) fields.set(kFlags, 1, fields.at(kFlags, 1) & ~kIsCd);
  size_t at = kTracks + 1;
  for (uint64_t track = fields.at(kTracks, 1); track > 0 && fields.has(at, kTrack); --track) {
    fields.change(at, 8, change);
    const uint64_t indices = fields.at(at + kIndices, 1);
    at += kTrack;
    for (uint64_t i = 0; i < indices; ++i, at += kIndex) fields.change(at, 8, change);
  }
}

// The numbers in elements of iXML, in order; the rest of the text is unchanged.
class XmlNumbers {
 public:
  explicit XmlNumbers(Bytes& bytes) : bytes_(bytes), text_(bytes.begin(), bytes.end()) {}
  ~XmlNumbers() { bytes_.assign(text_.begin(), text_.end()); }
  XmlNumbers(const XmlNumbers&) = delete;
  XmlNumbers& operator=(const XmlNumbers&) = delete;

  std::optional<uint64_t> get(const std::string& name, size_t which = 0) const {
    const auto [at, size] = place(name, which);
    uint64_t value = 0;
    const char* const end = text_.data() + at + size;
    const bool is_number =
        size > 0 && std::from_chars(text_.data() + at, end, value) == std::from_chars_result{end, {}};
    return is_number ? std::optional(value) : std::nullopt;
  }
  void set(const std::string& name, uint64_t value, size_t which = 0) {
    const auto [at, size] = place(name, which);
    text_.replace(at, size, std::to_string(value));
  }
  // Each 64-bit number that is split over two elements.
  void change(const std::string& low, const std::string& high, const RateChange& change) {
    for (size_t which = 0; const std::optional<uint64_t> low_half = get(low, which); ++which) {
      const std::optional<uint64_t> high_half = get(high, which);
      const uint64_t frames = change.frames(high_half.value_or(0) << 32 | (*low_half & UINT32_MAX));
      set(low, high_half ? frames & UINT32_MAX : frames, which);
      if (high_half) set(high, frames >> 32, which);
    }
  }

 private:
  // The position of an element's text; size 0: none.
  std::pair<size_t, size_t> place(const std::string& name, size_t which) const {
    const std::string open = "<" + name + ">", close = "</" + name + ">";
    size_t at = text_.find(open);
    for (; which > 0 && at != std::string::npos; --which) at = text_.find(open, at + 1);
    const size_t end = at == std::string::npos ? at : text_.find(close, at);
    if (end == std::string::npos) return {0, 0};
    return {at + open.size(), end - at - open.size()};
  }

  Bytes& bytes_;
  std::string text_;
};

void change_ixml(Bytes& content, const RateChange& change) {
  XmlNumbers xml(content);
  for (const char* name : {"FILE_SAMPLE_RATE", "DIGITIZER_SAMPLE_RATE"}) {
    if (xml.get(name) == change.from_hz()) xml.set(name, change.to_hz());
  }
  if (xml.get("TIMESTAMP_SAMPLE_RATE").value_or(change.from_hz()) == change.from_hz()) {
    if (xml.get("TIMESTAMP_SAMPLE_RATE")) xml.set("TIMESTAMP_SAMPLE_RATE", change.to_hz());
    xml.change("TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO", "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI", change);
  }
  xml.change("BWF_TIME_REFERENCE_LOW", "BWF_TIME_REFERENCE_HIGH", change);
  xml.change("SYNC_POINT_LOW", "SYNC_POINT_HIGH", change);
  for (size_t which = 0; const std::optional<uint64_t> frames = xml.get("SYNC_POINT_EVENT_DURATION", which); ++which)
    xml.set("SYNC_POINT_EVENT_DURATION", change.frames(*frames), which);
}

// Tags that store loops for players, and a recording's time of day.
constexpr const char* kTagsOfFrames[] = {"LOOPSTART",   "LOOPLENGTH", "LOOPEND",       "LOOP_START",
                                         "LOOP_LENGTH", "LOOP_END",   "TIME_REFERENCE"};

TagLib::String changed(const TagLib::String& value, const RateChange& change) {
  const std::string text = value.to8Bit(true);
  uint64_t frames = 0;
  const char* const end = text.data() + text.size();
  if (text.empty() || std::from_chars(text.data(), end, frames) != std::from_chars_result{end, {}}) return value;
  return TagLib::String(std::to_string(change.frames(frames)));
}

void change_texts(TagLib::PropertyMap& texts, const RateChange& change) {
  for (const char* name : kTagsOfFrames) {
    if (!texts.contains(name)) continue;
    TagLib::StringList values;
    for (const TagLib::String& value : texts[name]) values.append(changed(value, change));
    texts.replace(name, values);
  }
}

// The same tags in ID3v2; nullopt: nothing changes.
std::optional<TagLib::ByteVector> changed_id3(const TagLib::ByteVector& bytes, const RateChange& change) {
  TagLib::ByteVectorStream stream(bytes);
  TagLib::MPEG::File file(&stream, TagLib::ID3v2::FrameFactory::instance(), false);
  if (!file.isValid() || file.ID3v2Tag() == nullptr) return std::nullopt;
  bool is_changed = false;
  for (const char* name : kTagsOfFrames) {
    auto* frame = TagLib::ID3v2::UserTextIdentificationFrame::find(file.ID3v2Tag(), name);
    if (frame == nullptr || frame->fieldList().size() < 2) continue;
    frame->setText(changed(frame->fieldList()[1], change));
    is_changed = true;
  }
  return is_changed ? std::optional(file.ID3v2Tag()->render()) : std::nullopt;
}

void change_riff_chunk(MetadataChunk& chunk, bool big_endian, const RateChange& change) {
  Fields fields(chunk.content, big_endian);
  if (chunk.id == "cue ") return change_cues(fields, change);
  if (chunk.id == "plst") return change_playlist(fields, change);
  if (chunk.id == "smpl") return change_sampler(fields, change);
  if (chunk.id == "bext") return change_time_reference(fields, change);
  if (chunk.id == "cart") return change_post_timers(fields, change);
  if (chunk.id == "LIST" && fields.begins_with("adtl")) return change_labels(fields, change);
  if (chunk.id == "iXML") change_ixml(chunk.content, change);
}

void change_chunk(MetadataChunk& chunk, const Metadata& metadata, const RateChange& change) {
  if (chunk.id == "id3 " || chunk.id == "ID3 ") {
    const TagLib::ByteVector bytes(reinterpret_cast<const char*>(chunk.content.data()),
                                   static_cast<unsigned>(chunk.content.size()));
    if (const auto id3 = changed_id3(bytes, change)) chunk.content = {id3->begin(), id3->end()};
    return;
  }
  Fields fields(chunk.content, true);
  switch (metadata.family) {
    case ChunkFamily::aiff:
      if (chunk.id == "MARK") change_aiff_markers(fields, change);
      break;
    case ChunkFamily::caf:
      if (chunk.id == "mark") change_caf_markers(fields, 8, fields.at(4, 4), change);
      if (chunk.id == "regn") change_caf_regions(fields, change);
      break;
    default:
      change_riff_chunk(chunk, metadata.big_endian, change);
  }
}

// Slices and transients of loops, markers of RF64 with byte positions; chunks about another file.
bool is_bound_to_rate(const MetadataChunk& chunk) {
  static const std::set<std::string> ids = {"strc", "trns", "r64m"};
  if (ids.contains(chunk.id)) return true;
  if (chunk.id != "APPLICATION" || chunk.content.size() < 8) return false;
  const std::string_view owner(reinterpret_cast<const char*>(chunk.content.data()) + 4, 4);
  return owner == "riff" || owner == "aiff" || owner == "w64 ";
}

void leave_out_bound(std::vector<MetadataChunk>& chunks, std::vector<std::string>& left_out) {
  for (const MetadataChunk& chunk : chunks) {
    if (is_bound_to_rate(chunk)) left_out.push_back(chunk.id);
  }
  std::erase_if(chunks, is_bound_to_rate);
}

}  // namespace

RateChange::RateChange(int from_hz, int to_hz)
    : from_hz_(static_cast<uint64_t>(from_hz)), to_hz_(static_cast<uint64_t>(to_hz)) {}

uint64_t RateChange::frames(uint64_t count) const {
  if (count / from_hz_ > UINT64_MAX / to_hz_ - 1) return UINT64_MAX;
  return count / from_hz_ * to_hz_ + (count % from_hz_ * to_hz_ + from_hz_ / 2) / from_hz_;
}

double RateChange::frames(double count) const {
  return std::round(count * static_cast<double>(to_hz_) / static_cast<double>(from_hz_));
}

uint64_t RateChange::last_frame(uint64_t place) const {
  return place >= UINT32_MAX ? place : std::max<uint64_t>(frames(place + 1), 1) - 1;
}

uint64_t RateChange::period(uint64_t time) const { return (time * from_hz_ + to_hz_ / 2) / to_hz_; }

Metadata at_rate(const Metadata& metadata, const RateChange& change) {
  Metadata result = metadata;
  if (!change.changes()) return result;
  result.sample_rate_hz = static_cast<int>(change.to_hz());
  leave_out_bound(result.chunks, result.left_out);
  leave_out_bound(result.flac_blocks, result.left_out);
  for (MetadataChunk& chunk : result.chunks) change_chunk(chunk, metadata, change);
  for (MetadataChunk& block : result.flac_blocks) {
    if (block.id == "CUESHEET") change_cue_sheet(Fields(block.content, true), change);
  }
  change_texts(result.texts, change);
  if (!result.id3.isEmpty()) {
    if (const auto id3 = changed_id3(result.id3, change)) result.id3 = *id3;
  }
  return result;
}

}  // namespace coil::cli
