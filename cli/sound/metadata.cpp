// Copies chunks byte for byte between containers of a family; tags and pictures go through TagLib. Sources as in
// chunk_walk.cpp.
#include "cli/sound/metadata.h"

#include <sndfile.h>
#include <sys/stat.h>
#include <taglib/aifffile.h>
#include <taglib/attachedpictureframe.h>
#include <taglib/flacfile.h>
#include <taglib/id3v2framefactory.h>
#include <taglib/id3v2tag.h>
#include <taglib/mpegfile.h>
#include <taglib/oggflacfile.h>
#include <taglib/opusfile.h>
#include <taglib/tbytevectorstream.h>
#include <taglib/unknownframe.h>
#include <taglib/vorbisfile.h>
#include <taglib/xiphcomment.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>

#include "cli/failure.h"
#include "cli/sound/byte_order.h"
#include "cli/sound/cue_points.h"

namespace coil::cli {
namespace {

constexpr size_t kMostBytes = 1 << 25;  // of all chunks of a file
constexpr int kFlacApplication = 2, kFlacCueSheet = 5;
constexpr uint64_t kFlacAfterStreamInfo = 42;
constexpr const char* kMaskTag = "WAVEFORMATEXTENSIBLE_CHANNEL_MASK";  // RFC 9639 8.6.2; belongs to the sound, so it is
                                                                       // not copied as a tag

using Bytes = std::vector<uint8_t>;

// Names in RIFF's INFO lists and in Vorbis comments.
constexpr std::pair<const char*, const char*> kInfoNames[] = {
    {"INAM", "TITLE"},          {"IART", "ARTIST"},   {"IPRD", "ALBUM"},       {"ICMT", "COMMENT"},
    {"ICRD", "DATE"},           {"IGNR", "GENRE"},    {"ITRK", "TRACKNUMBER"}, {"IPRT", "TRACKNUMBER"},
    {"ICOP", "COPYRIGHT"},      {"ISFT", "ENCODING"}, {"IENG", "ENGINEER"},    {"IKEY", "KEYWORDS"},
    {"ISBJ", "SUBJECT"},        {"ISRC", "SOURCE"},   {"ITCH", "ENCODEDBY"},   {"IMUS", "COMPOSER"},
    {"IWRI", "LYRICIST"},       {"ILNG", "LANGUAGE"}, {"IMED", "MEDIA"},       {"IARL", "ARCHIVALLOCATION"},
    {"ICMS", "COMMISSIONED"},   {"IBPM", "BPM"},      {"ISRF", "SOURCEFORM"},  {"IPRO", "PRODUCER"},
    {"ICDS", "COSTUMEDESIGNER"}};
constexpr std::pair<const char*, const char*> kAiffNames[] = {
    {"NAME", "TITLE"}, {"AUTH", "ARTIST"}, {"(c) ", "COPYRIGHT"}, {"ANNO", "COMMENT"}};
constexpr std::pair<const char*, const char*> kCafNames[] = {{"title", "TITLE"},
                                                             {"artist", "ARTIST"},
                                                             {"album", "ALBUM"},
                                                             {"comments", "COMMENT"},
                                                             {"year", "DATE"},
                                                             {"genre", "GENRE"},
                                                             {"track number", "TRACKNUMBER"},
                                                             {"copyright", "COPYRIGHT"},
                                                             {"composer", "COMPOSER"},
                                                             {"lyricist", "LYRICIST"},
                                                             {"encoding application", "ENCODING"},
                                                             {"tempo", "BPM"}};

// Chunks that describe the sound, or padding; a writer makes its own.
bool is_structure(ChunkFamily family, const std::string& id) {
  static const std::map<ChunkFamily, std::set<std::string>> structures = {
      {ChunkFamily::riff, {"fmt ", "data", "fact", "ds64", "PEAK", "JUNK", "junk", "PAD ", "FLLR", "levl", "LGWV"}},
      {ChunkFamily::aiff, {"COMM", "SSND", "FVER", "PEAK", "CHAN"}},
      {ChunkFamily::caf, {"desc", "data", "pakt", "kuki", "chan", "peak", "free", "ovvw"}}};
  return structures.at(family == ChunkFamily::w64 ? ChunkFamily::riff : family).contains(id);
}

// Chunks of the RIFF family without numbers, or with their own byte order.
bool is_without_byte_order(const std::string& id) {
  static const std::set<std::string> ids = {"iXML", "axml", "aXML", "_PMX", "XMP ", "id3 ", "ID3 ", "umid", "chna"};
  return ids.contains(id);
}

bool is_id3(const std::string& id) { return id == "id3 " || id == "ID3 "; }

TagLib::String text_of(std::string text) {
  text.resize(std::strlen(text.c_str()));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  const TagLib::String utf8(text, TagLib::String::UTF8);
  // Invalid UTF-8 is treated as Latin-1.
  return utf8.to8Bit(true) == text ? utf8 : TagLib::String(text, TagLib::String::Latin1);
}

void add_text(TagLib::PropertyMap& texts, const std::string& key, const TagLib::String& value) {
  const TagLib::String name(key, TagLib::String::UTF8);
  // A file may contain the same text in several kinds of tags.
  if (!value.isEmpty() && !texts[name].contains(value)) texts.insert(name, TagLib::StringList(value));
}

template <size_t N>
std::string name_in(const std::pair<const char*, const char*> (&names)[N], const std::string& id,
                    const std::string& otherwise) {
  for (const auto& [theirs, ours] : names) {
    if (id == theirs) return ours;
  }
  return otherwise;
}

void read_info_list(Metadata& metadata, const Bytes& list, bool big_endian) {
  for (size_t at = 4; at + 8 <= list.size();) {
    const size_t size = number_in(std::span(list).subspan(at + 4, 4), big_endian);
    if (size > list.size() - at - 8) break;
    const std::string id(list.begin() + static_cast<std::ptrdiff_t>(at),
                         list.begin() + static_cast<std::ptrdiff_t>(at) + 4);
    const std::string value(list.begin() + static_cast<std::ptrdiff_t>(at) + 8,
                            list.begin() + static_cast<std::ptrdiff_t>(at + 8 + size));
    add_text(metadata.texts, name_in(kInfoNames, id, id), text_of(value));
    at += 8 + size + size % 2;
  }
}

// Pairs of zero-terminated texts.
void read_caf_info(Metadata& metadata, const Bytes& content) {
  const std::string text(content.begin(), content.end());
  size_t at = 4;
  while (at < text.size()) {
    const std::string key = text.c_str() + at;
    at += key.size() + 1;
    if (at >= text.size()) break;
    const std::string value = text.c_str() + at;
    at += value.size() + 1;
    std::string upper = key;
    std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
    add_text(metadata.texts, name_in(kCafNames, key, upper), text_of(value));
  }
}

void take_id3(Metadata& metadata, TagLib::ID3v2::Tag* tag) {
  if (tag == nullptr || tag->isEmpty()) return;
  metadata.id3 = tag->render();
  for (const auto& [key, values] : tag->properties()) {
    for (const TagLib::String& value : values) add_text(metadata.texts, key.to8Bit(true), value);
  }
  for (const TagLib::ID3v2::Frame* frame : tag->frameList("APIC")) {
    const auto* picture = dynamic_cast<const TagLib::ID3v2::AttachedPictureFrame*>(frame);
    if (picture)
      metadata.pictures.push_back({picture->picture(), picture->mimeType(), picture->description(), picture->type()});
  }
}

void read_id3_chunk(Metadata& metadata, const Bytes& content) {
  const TagLib::ByteVector bytes(reinterpret_cast<const char*>(content.data()), static_cast<unsigned>(content.size()));
  TagLib::ByteVectorStream stream(bytes);
  TagLib::MPEG::File file(&stream, TagLib::ID3v2::FrameFactory::instance(), false);
  if (file.isValid()) take_id3(metadata, file.ID3v2Tag());
}

void take_chunk(Metadata& metadata, ByteSource& source, const FoundChunk& chunk, size_t& left) {
  std::string id = chunk.id;
  if (metadata.family == ChunkFamily::w64 && id == w64_guid(id.substr(0, 4))) id = id.substr(0, 4);
  if (id == "list" && metadata.family == ChunkFamily::w64) id = "LIST";
  if (is_structure(metadata.family, id)) return;
  Bytes content;
  if (chunk.size <= left) content = content_of(source, chunk, left);
  if (content.size() != chunk.size) {
    metadata.left_out.push_back(id.substr(0, 4));
    return;
  }
  left -= content.size();
  const bool is_info = id == "LIST" && content.size() >= 4 && std::memcmp(content.data(), "INFO", 4) == 0;
  if (is_info) read_info_list(metadata, content, metadata.big_endian);
  if (is_id3(id)) read_id3_chunk(metadata, content);
  if (metadata.family == ChunkFamily::caf && id == "info") read_caf_info(metadata, content);
  if (metadata.family == ChunkFamily::aiff) {
    const std::string key = name_in(kAiffNames, id, "");
    if (!key.empty()) add_text(metadata.texts, key, text_of(std::string(content.begin(), content.end())));
  }
  metadata.chunks.push_back({id, std::move(content)});
}

size_t bytes_left(const Metadata& metadata) {
  size_t left = kMostBytes;
  for (const MetadataChunk& chunk : metadata.chunks) left -= std::min(left, chunk.content.size());
  return left;
}

// --- writing

class Target {
 public:
  Target(int descriptor, const std::string& name) : descriptor_(descriptor), name_(name) {}

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  uint64_t size() const {
    struct stat found = {};
    if (::fstat(descriptor_, &found) != 0) fail();
    return static_cast<uint64_t>(found.st_size);
  }
  Bytes read(uint64_t at, size_t count) const {
    Bytes bytes(count);
    const ssize_t n = ::pread(descriptor_, bytes.data(), count, static_cast<off_t>(at));
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }
  void write(uint64_t at, std::span<const uint8_t> bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (n < 0 && errno != EINTR) fail();
      if (n <= 0) continue;
      at += static_cast<uint64_t>(n);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }
  [[noreturn]] void fail() const {
    throw Failure(kFailed, name_ + ": writing its metadata failed: " + std::strerror(errno));
  }
  void need(bool done) const {
    if (!done) throw Failure(kFailed, name_ + ": writing its metadata failed");
  }

 private:
  int descriptor_;
  std::string name_;
};

ChunkFamily family_of(int format) {
  switch (format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_WAV:
    case SF_FORMAT_WAVEX:
    case SF_FORMAT_RF64:
      return ChunkFamily::riff;
    case SF_FORMAT_W64:
      return ChunkFamily::w64;
    case SF_FORMAT_AIFF:
      return ChunkFamily::aiff;
    case SF_FORMAT_CAF:
      return ChunkFamily::caf;
    default:
      return ChunkFamily::other;
  }
}

bool are_of_one_family(ChunkFamily a, ChunkFamily b) {
  const auto whole = [](ChunkFamily family) { return family == ChunkFamily::w64 ? ChunkFamily::riff : family; };
  return a != ChunkFamily::other && whole(a) == whole(b);
}

Bytes bytes_of(const TagLib::ByteVector& vector) { return {vector.begin(), vector.end()}; }

TagLib::ByteVector id3_of(const Metadata& metadata) {
  if (!metadata.id3.isEmpty()) return metadata.id3;
  if (metadata.texts.isEmpty() && metadata.pictures.empty()) return {};
  TagLib::ID3v2::Tag tag;
  tag.setProperties(metadata.texts);
  for (const MetadataPicture& picture : metadata.pictures) {
    auto* frame = new TagLib::ID3v2::AttachedPictureFrame;  // owned by the tag from here on
    frame->setPicture(picture.data);
    frame->setMimeType(picture.mime_type);
    frame->setDescription(picture.description);
    frame->setType(static_cast<TagLib::ID3v2::AttachedPictureFrame::Type>(picture.type));
    frame->setTextEncoding(TagLib::String::UTF8);
    tag.addFrame(frame);
  }
  return tag.render();
}

std::string joined_values(const TagLib::StringList& values) { return values.toString("; ").to8Bit(true); }

template <size_t N>
std::string id_in(const std::pair<const char*, const char*> (&names)[N], const std::string& name) {
  for (const auto& [theirs, ours] : names) {
    if (name == ours) return theirs;
  }
  return "";
}

// Converts tags to chunks of a family that has not carried them so far.
std::vector<MetadataChunk> chunks_of_tags(const Metadata& metadata, ChunkFamily to) {
  std::vector<MetadataChunk> chunks;
  Bytes list;
  for (const auto& [key, values] : metadata.texts) {
    const std::string name = key.to8Bit(true), text = joined_values(values);
    if (to == ChunkFamily::aiff) {
      const std::string id = id_in(kAiffNames, name);
      if (!id.empty()) chunks.push_back({id, Bytes(text.begin(), text.end())});
    } else if (to == ChunkFamily::caf) {
      const std::string id = id_in(kCafNames, name);
      put_text(list, (id.empty() ? name : id) + '\0' + text + '\0');
    } else {
      const bool is_info_id = name.size() == 4 && name[0] == 'I';
      const std::string id = is_info_id ? name : id_in(kInfoNames, name);
      if (id.empty()) continue;
      put_text(list, id);
      put_number(list, text.size() + 1, 4);
      put_text(list, text + '\0');
      if (text.size() % 2 == 0) list.push_back(0);
    }
  }
  if (to == ChunkFamily::caf) {
    if (list.empty()) return chunks;
    Bytes content;
    put_number(content, metadata.texts.size(), 4, true);
    content.insert(content.end(), list.begin(), list.end());
    return {{"info", content}};
  }
  if (!list.empty()) {
    Bytes content;
    put_text(content, "INFO");
    content.insert(content.end(), list.begin(), list.end());
    chunks.push_back({"LIST", content});
  }
  if (const TagLib::ByteVector id3 = id3_of(metadata); !id3.isEmpty()) {
    chunks.push_back({to == ChunkFamily::aiff ? "ID3 " : "id3 ", bytes_of(id3)});
  }
  return chunks;
}

// Appends after everything, and updates the sizes in the file's header.
void append_chunks(const Target& target, ChunkFamily family, const std::vector<MetadataChunk>& chunks) {
  if (chunks.empty()) return;
  const Bytes head = target.read(0, 48);
  const bool is_w64 = family == ChunkFamily::w64, is_caf = family == ChunkFamily::caf,
             big = family == ChunkFamily::aiff || is_caf;
  const bool is_rf64 = family == ChunkFamily::riff && head.size() >= 20 && std::memcmp(head.data(), "RF64", 4) == 0;
  const uint64_t alignment = is_w64 ? 8 : is_caf ? 1 : 2;
  uint64_t at = target.size();
  const auto pad = [&] {
    const Bytes zeros((alignment - at % alignment) % alignment);
    target.write(at, zeros);
    at += zeros.size();
  };
  pad();
  for (const MetadataChunk& chunk : chunks) {
    Bytes header;
    put_text(header,
             is_w64 ? chunk.id.size() == 4 ? w64_guid(chunk.id == "LIST" ? "list" : chunk.id) : chunk.id : chunk.id);
    put_number(header, chunk.content.size() + (is_w64 ? 24 : 0), is_w64 || is_caf ? 8 : 4, big);
    target.write(at, header);
    target.write(at + header.size(), chunk.content);
    at += header.size() + chunk.content.size();
    pad();
  }
  if (is_caf) return;
  Bytes size;
  put_number(size, is_w64 ? at : at - 8, is_w64 || is_rf64 ? 8 : 4, big);
  target.write(is_w64 ? 16 : is_rf64 ? 20 : 4, size);
}

void write_xiph(TagLib::Ogg::XiphComment* comment, const Metadata& metadata) {
  for (const auto& [key, values] : metadata.texts) {
    const std::string name = key.to8Bit(true);
    if (!TagLib::Ogg::XiphComment::checkKey(key)) continue;
    comment->removeFields(key);
    for (const TagLib::String& value : values) comment->addField(key, value, false);
  }
}

TagLib::FLAC::Picture* flac_picture(const MetadataPicture& picture) {
  auto* made = new TagLib::FLAC::Picture;  // owned by the tag that it is added to
  made->setData(picture.data);
  made->setMimeType(picture.mime_type);
  made->setDescription(picture.description);
  made->setType(static_cast<TagLib::FLAC::Picture::Type>(picture.type));
  return made;
}

template <class File>
void write_ogg(const Target& target, const Metadata& metadata) {
  File file(target.path().c_str(), false);
  target.need(file.isValid());
  write_xiph(file.tag(), metadata);
  for (const MetadataPicture& picture : metadata.pictures) file.tag()->addPicture(flac_picture(picture));
  target.need(file.save());
}

void write_flac(const Target& target, const Metadata& metadata) {
  {
    TagLib::FLAC::File file(target.path().c_str(), false);
    target.need(file.isValid());
    write_xiph(file.xiphComment(true), metadata);
    for (const MetadataPicture& picture : metadata.pictures) file.addPicture(flac_picture(picture));
    target.need(file.save());
  }
  TagLib::FLAC::File file(target.path().c_str(), false);
  for (const MetadataChunk& block : metadata.flac_blocks) {
    const TagLib::ByteVector bytes(reinterpret_cast<const char*>(block.content.data()),
                                   static_cast<unsigned>(block.content.size()));
    file.insert(bytes, kFlacAfterStreamInfo, 0);
  }
}

void write_mp3(const Target& target, const Metadata& metadata) {
  const TagLib::ByteVector id3 = id3_of(metadata);
  if (id3.isEmpty()) return;
  TagLib::MPEG::File file(target.path().c_str(), false);
  target.need(file.isValid());
  file.insert(id3, 0, 0);
}

bool has_tags(const Metadata& metadata) {
  return !metadata.texts.isEmpty() || !metadata.pictures.empty() || !metadata.id3.isEmpty();
}

// Whether an ID3v2 tag contains more than texts and pictures.
bool id3_is_more(const Metadata& metadata) {
  if (metadata.id3.isEmpty()) return false;
  TagLib::ByteVectorStream stream(metadata.id3);
  TagLib::MPEG::File file(&stream, TagLib::ID3v2::FrameFactory::instance(), false);
  const TagLib::PropertyMap texts = file.ID3v2Tag()->properties();
  const TagLib::StringList& others = texts.unsupportedData();
  return std::any_of(others.begin(), others.end(), [](const TagLib::String& name) { return !name.startsWith("APIC"); });
}

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

bool holds_tags(const Metadata& metadata, const MetadataChunk& chunk) {
  if (is_id3(chunk.id)) return true;
  if (metadata.family == ChunkFamily::caf) return chunk.id == "info";
  if (metadata.family == ChunkFamily::aiff) return !name_in(kAiffNames, chunk.id, "").empty();
  return chunk.id == "LIST" && chunk.content.size() >= 4 && std::memcmp(chunk.content.data(), "INFO", 4) == 0;
}

std::vector<MetadataChunk> chunks_for(const Metadata& metadata, ChunkFamily to, std::vector<std::string>& lost) {
  if (!are_of_one_family(metadata.family, to)) {
    for (const MetadataChunk& chunk : metadata.chunks) {
      if (!holds_tags(metadata, chunk) && !holds_cues(metadata, chunk, to)) add_once(lost, chunk.id);
    }
    std::vector<MetadataChunk> chunks = chunks_of_tags(metadata, to);
    for (MetadataChunk& chunk : translated_cues(metadata, to, lost)) chunks.push_back(std::move(chunk));
    return chunks;
  }
  std::vector<MetadataChunk> chunks;
  const bool swapped = metadata.big_endian && metadata.family == ChunkFamily::riff;
  for (const MetadataChunk& chunk : metadata.chunks) {
    const bool fits = chunk.id.size() == 4 || to == ChunkFamily::w64;
    if (fits && (!swapped || is_without_byte_order(chunk.id))) {
      chunks.push_back(chunk);
    } else if (!holds_tags(metadata, chunk)) {
      add_once(lost, chunk.id.size() == 4 ? chunk.id : "a chunk of W64");
    }
  }
  if (!swapped) return chunks;
  for (MetadataChunk& chunk : chunks_of_tags(metadata, to)) {
    if (chunk.id == "LIST") chunks.push_back(std::move(chunk));
  }
  return chunks;
}

}  // namespace

Metadata metadata_of_chunks(ByteSource& source, const ChunkMap& map) {
  Metadata metadata;
  metadata.family = map.family == ChunkFamily::au ? ChunkFamily::other : map.family;
  metadata.big_endian = map.big_endian;
  size_t left = kMostBytes;
  for (const FoundChunk& chunk : map.chunks) take_chunk(metadata, source, chunk, left);
  return metadata;
}

void add_chunks_behind(Metadata& metadata, ByteSource& source, const ChunkMap& map, uint64_t at) {
  if (metadata.family == ChunkFamily::other) return;
  size_t left = bytes_left(metadata);
  for (const FoundChunk& chunk : chunks_behind(source, map, at)) take_chunk(metadata, source, chunk, left);
}

namespace {

void take_xiph(Metadata& metadata, const TagLib::Ogg::XiphComment* comment,
               const TagLib::List<TagLib::FLAC::Picture*>& pictures) {
  if (comment != nullptr) {
    for (const auto& [key, values] : comment->fieldListMap()) {
      if (key != "METADATA_BLOCK_PICTURE" && key != kMaskTag) metadata.texts.insert(key, values);
    }
  }
  for (const TagLib::FLAC::Picture* picture : pictures) {
    metadata.pictures.push_back({picture->data(), picture->mimeType(), picture->description(), picture->type()});
  }
}

template <class File>
void take_ogg(Metadata& metadata, const std::filesystem::path& path) {
  File file(path.c_str(), false);
  if (file.isValid() && file.tag() != nullptr) take_xiph(metadata, file.tag(), file.tag()->pictureList());
}

void take_flac_blocks(Metadata& metadata, const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 4> magic;
  // An ID3v2 tag may come first. FLAC files with one are rare; their masks are not written.
  if (!file.read(magic.data(), 4) || std::memcmp(magic.data(), "fLaC", 4) != 0) return;
  size_t left = kMostBytes;
  for (bool last = false; !last;) {
    std::array<uint8_t, 4> header;
    if (!file.read(reinterpret_cast<char*>(header.data()), 4)) return;
    last = header[0] >= 128;
    const int type = header[0] % 128;
    const size_t size = number_in(std::span(header).subspan(1), true);
    if ((type == kFlacApplication || type == kFlacCueSheet) && size <= left) {
      left -= size;
      Bytes block = {static_cast<uint8_t>(type), header[1], header[2], header[3]};
      block.resize(4 + size);
      if (!file.read(reinterpret_cast<char*>(block.data()) + 4, static_cast<std::streamsize>(size))) return;
      metadata.flac_blocks.push_back({type == kFlacCueSheet ? "CUESHEET" : "APPLICATION", std::move(block)});
    } else {
      file.seekg(static_cast<std::streamoff>(size), std::ios::cur);
    }
  }
}

}  // namespace

Metadata metadata_of_tags(const std::filesystem::path& path, int format) {
  Metadata metadata;
  switch (format & SF_FORMAT_TYPEMASK) {
    case SF_FORMAT_FLAC: {
      TagLib::FLAC::File file(path.c_str(), false);
      if (file.isValid()) take_xiph(metadata, file.xiphComment(), file.pictureList());
      take_flac_blocks(metadata, path);
      break;
    }
    case SF_FORMAT_OGG:
      if ((format & SF_FORMAT_SUBMASK) == SF_FORMAT_OPUS) {
        take_ogg<TagLib::Ogg::Opus::File>(metadata, path);
      } else if ((format & SF_FORMAT_SUBMASK) == SF_FORMAT_VORBIS) {
        take_ogg<TagLib::Ogg::Vorbis::File>(metadata, path);
      } else {
        TagLib::Ogg::FLAC::File file(path.c_str(), false);
        if (file.isValid() && file.tag() != nullptr) take_xiph(metadata, file.tag(), file.tag()->pictureList());
      }
      break;
    case SF_FORMAT_MPEG: {
      TagLib::MPEG::File file(path.c_str(), false);
      if (!file.isValid()) break;
      take_id3(metadata, file.ID3v2Tag());
      if (metadata.id3.isEmpty()) metadata.texts = file.properties();  // from ID3v1 or APE
      break;
    }
    default:
      break;
  }
  return metadata;
}

std::vector<MetadataChunk> wav_chunks_of(const Metadata& metadata, std::vector<std::string>& lost) {
  for (const MetadataChunk& block : metadata.flac_blocks) add_once(lost, block.id);
  for (const std::string& id : metadata.left_out) add_once(lost, id);
  return chunks_for(metadata, ChunkFamily::riff, lost);
}

std::vector<std::string> write_metadata(int descriptor, const std::string& name, int format, const Metadata& metadata) {
  std::vector<std::string> lost = metadata.left_out;
  const Target target(descriptor, name);
  const ChunkFamily family = family_of(format);
  const int major = format & SF_FORMAT_TYPEMASK, subtype = format & SF_FORMAT_SUBMASK;
  if (major != SF_FORMAT_FLAC) {
    for (const MetadataChunk& block : metadata.flac_blocks) add_once(lost, block.id);
  }
  if (family != ChunkFamily::other) {
    append_chunks(target, family, chunks_for(metadata, family, lost));
    const bool loses_pictures = family == ChunkFamily::caf && metadata.family != family;
    if (loses_pictures && !metadata.pictures.empty()) add_once(lost, "pictures");
    if (loses_pictures && id3_is_more(metadata)) add_once(lost, "ID3 frames");
    return lost;
  }
  for (const MetadataChunk& chunk : metadata.chunks) {
    if (!holds_tags(metadata, chunk)) add_once(lost, chunk.id.substr(0, 4));
  }
  if (!has_tags(metadata) && metadata.flac_blocks.empty()) return lost;
  const bool is_xiph = major == SF_FORMAT_FLAC || major == SF_FORMAT_OGG;
  if (is_xiph && id3_is_more(metadata)) add_once(lost, "ID3 frames");
  if (major == SF_FORMAT_FLAC) {
    write_flac(target, metadata);
  } else if (major == SF_FORMAT_OGG && subtype == SF_FORMAT_OPUS) {
    write_ogg<TagLib::Ogg::Opus::File>(target, metadata);
  } else if (major == SF_FORMAT_OGG) {
    write_ogg<TagLib::Ogg::Vorbis::File>(target, metadata);
  } else if (major == SF_FORMAT_MPEG) {
    write_mp3(target, metadata);
  } else {
    if (!metadata.texts.isEmpty()) add_once(lost, "tags");
    if (!metadata.pictures.empty()) add_once(lost, "pictures");
  }
  return lost;
}

void write_flac_mask(int descriptor, const std::string& name, uint32_t mask) {
  const Target target(descriptor, name);
  TagLib::FLAC::File file(target.path().c_str(), false);
  target.need(file.isValid());
  char text[16];
  std::snprintf(text, sizeof text, "0x%04X", mask);
  file.xiphComment(true)->addField(kMaskTag, text);
  target.need(file.save());
}

}  // namespace coil::cli
