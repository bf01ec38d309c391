// Sources: Microsoft's and IBM's "Multimedia Programming Interface and Data Specifications 1.0" (RIFF), EBU Tech 3306
// (RF64), ITU-R BS.2088 (BW64), Sony's "Sony Wave64", Apple's "Audio Interchange File Format 1.3" and "AIFF-C", Apple's
// "Core Audio Format Specification 1.0", Sun's <audio/au.h>.
#include "cli/sound/chunk_walk.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>

#include "cli/sound/byte_order.h"

namespace coil::cli {
namespace {

constexpr size_t kMostChunks = 1 << 16;
constexpr uint64_t kMostSearched = 1 << 24;                 // bytes, when searching for the sound after a damaged chunk
constexpr uint64_t kMostPadding = 1 << 16;                  // zeros after the sound that do not belong to it
constexpr size_t kMostHeaders = 1 << 18, kMostHits = 1000;  // limits that keep the search short
constexpr uint64_t kSizeSlack = 9;  // some writers include the form's header and a last padding byte, others do not
constexpr uint64_t kFourGib = uint64_t{1} << 32;

// How a family writes the header of a chunk.
struct Grammar {
  size_t id_bytes, size_bytes;
  bool big_endian, size_includes_header;
  uint64_t alignment;
  std::string format_id, sound_id;

  uint64_t header_bytes() const { return id_bytes + size_bytes; }
  uint64_t padded(uint64_t at) const { return (at + alignment - 1) / alignment * alignment; }
};

Grammar grammar_of(const ChunkMap& map) {
  switch (map.family) {
    case ChunkFamily::w64:
      return {16, 8, false, true, 8, w64_guid("fmt "), w64_guid("data")};
    case ChunkFamily::aiff:
      return {4, 4, true, false, 2, "COMM", "SSND"};
    case ChunkFamily::caf:
      return {4, 8, true, false, 1, "desc", "data"};
    default:
      return {4, 4, map.big_endian, false, 2, "fmt ", "data"};
  }
}

const std::set<std::string>& known_ids() {
  static const std::set<std::string> ids = {
      "LIST", "bext", "cart", "cue ", "plst", "smpl", "inst", "acid", "iXML", "axml", "chna", "ID3 ", "id3 ", "fact",
      "PEAK", "JUNK", "junk", "PAD ", "FLLR", "_PMX", "aXML", "ubxt", "cset", "levl", "fmt ", "data", "DISP", "strc",
      "umid", "afsp", "ltxt", "note", "MARK", "INST", "COMT", "COMM", "NAME", "AUTH", "(c) ", "ANNO", "APPL", "MIDI",
      "AESD", "FVER", "CHAN", "SSND", "SAXL", "basc", "trns", "chan", "info", "kuki", "pakt", "peak", "strg", "mark",
      "regn", "ovvw", "edct", "midi", "uuid", "free", "desc", "XMP ", "Cr8r", "olym", "SyLp", "link", "mext", "minf",
      "elm1", "regn", "umid", "DGDA", "tlst", "wavl", "slnt", "LGWV", "ResU", "bwid", "SNDM", "CDif", "SAUR"};
  return ids;
}

// Programs that write to a pipe mark a 32-bit size as unknown in several ways.
bool looks_open(uint64_t size) { return size >= 0xfffff000 || (size >= 0x7ffff000 && size <= 0x7fffffff); }

bool is_printable(const std::string& id) {
  return std::all_of(id.begin(), id.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

struct Header {
  std::string id;
  uint64_t at = 0, body = 0, size = 0;  // at: of the header; body: of the content
  bool is_known = false, is_plausible = false;
};

class Walk {
 public:
  Walk(ByteSource& source, ChunkMap& map)
      : source_(source), map_(map), end_(source.size()), grammar_(grammar_of(map)) {}

  void run(uint64_t first, std::optional<uint64_t> form_end) {
    form_end_ = form_end;
    uint64_t at = first;
    while (map_.chunks.size() < kMostChunks && !(map_.has_sound && !end_)) {
      const std::optional<Header> header = header_at(at);
      const bool fits = header && header->is_plausible && (!end_ || header->body <= *end_);
      if (fits && header->id == grammar_.sound_id && !map_.has_sound) {
        at = take_sound(*header);
        continue;
      }
      if (fits && (!end_ || header->size <= *end_ - header->body)) {
        note_64_bit_sizes(*header);
        take_chunk(*header);
        at = end_of(*header);
        continue;
      }
      if (map_.has_sound || !end_) {
        if (header && header->is_known && map_.has_sound) leave_out(*header);
        break;
      }
      const std::optional<uint64_t> found = search_for_sound(at);
      if (!found) {
        if (header && header->is_known) leave_out(*header);
        break;
      }
      if (header && header->at < *found) keep_packet_table(*header, *found);
      at = *found;
    }
    if (map_.has_sound && end_ && form_end_ && *form_end_ > *end_ + kSizeSlack && !map_.unfinalised)
      map_.truncated = true;
  }

  // Collects chunks with known names, or whose size is plausible.
  void collect(uint64_t at) {
    if (!chunks_follow(at) && grammar_.padded(at) != at) at = grammar_.padded(at);
    while (const std::optional<Header> header = header_at(at)) {
      if (!header->is_plausible || header->size > (end_ ? *end_ - header->body : kMostSearched)) break;
      take_chunk(*header);
      at = end_of(*header);
    }
  }

  std::optional<Header> header_at(uint64_t at) {
    if (++headers_ > kMostHeaders) return std::nullopt;
    std::array<uint8_t, 24> bytes;
    const std::span<uint8_t> head(bytes.data(), grammar_.header_bytes());
    if (source_.read_at(at, head) < head.size()) return std::nullopt;
    Header header;
    header.id.assign(reinterpret_cast<const char*>(bytes.data()), grammar_.id_bytes);
    header.at = at;
    header.body = at + head.size();
    header.size = number_in(head.subspan(grammar_.id_bytes), grammar_.big_endian);
    if (grammar_.size_includes_header) {
      header.is_known = header.id == w64_guid(header.id.substr(0, 4));
      header.is_plausible = header.size >= head.size() || header.id == grammar_.sound_id;
      header.size = header.size >= head.size() ? header.size - head.size() : 0;
    } else {
      header.is_known = known_ids().contains(header.id);
      header.is_plausible = is_printable(header.id);
    }
    // Such a chunk cannot exist, and adding its size to a position could overflow.
    if (header.size > UINT64_MAX / 4 && header.id != grammar_.sound_id) header.is_plausible = false;
    return header;
  }

  // Whether a chunk with a known name follows, or a sequence of chunks with any names up to the end of the file or
  // form.
  bool chunks_follow(uint64_t at) {
    std::optional<Header> header = header_at(at);
    if (!header || !header->is_plausible) return false;
    if (header->is_known) return header->id != grammar_.sound_id;
    return end_ && row_of_chunks(at);
  }

  // Whether the sound may end here: at the end of the file or pipe, before chunks, before a tag, or before padding.
  bool ends_at(uint64_t at) {
    const uint64_t padded = grammar_.padded(at);
    if (end_ && (padded >= *end_ || *end_ - at < encoding_of(source_, map_).block_bytes)) return true;
    if (chunks_follow(padded) || (padded != at && chunks_follow(at))) return true;
    std::vector<uint8_t> bytes(kMostPadding + 1);
    bytes.resize(source_.read_at(at, bytes));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (const char* tag : {"TAG", "ID3", "APETAGEX", "LYRICS"}) {
      if (text.starts_with(tag) || text.substr(std::min<size_t>(1, text.size())).starts_with(tag)) return true;
    }
    if (!end_ && bytes.size() <= kMostPadding && padded - at < bytes.size()) {
      // Now the end is known.
      MemoryBytes tail(std::span<const uint8_t>(bytes).subspan(static_cast<size_t>(padded - at)));
      ChunkMap copy = map_;
      if (Walk(tail, copy).chunks_follow(0)) return true;
    }
    return bytes.size() <= kMostPadding &&
           std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
  }

 private:
  uint64_t end_of(const Header& header) {
    const uint64_t end = header.body + header.size;
    const uint64_t padded = grammar_.padded(end);
    if (padded == end || !end_) return padded;
    // Some writers omit the padding.
    const std::optional<Header> next = header_at(padded), unpadded = header_at(end);
    const bool without = unpadded && unpadded->is_known && !(next && next->is_known);
    return without ? end : padded;
  }

  bool row_of_chunks(uint64_t at) {
    for (size_t count = 0; count < kMostChunks; ++count) {
      if (at + 1 >= *end_ || (count > 0 && form_end_ && at == *form_end_)) return at <= *end_ + 1;
      const std::optional<Header> header = header_at(at);
      if (!header || !header->is_plausible || header->size > *end_ - header->body) return false;
      at = end_of(*header);
    }
    return false;
  }

  void take_chunk(const Header& header) {
    if (header.id == "LIST" && !list_is_sound(header)) {
      map_.damaged.push_back(header.id);
      suspect_ = std::min(suspect_, header.at);
    } else {
      map_.chunks.push_back({header.id, header.body, header.size});
    }
  }

  // Whether its chunks lie within it. Some readers hang on a list whose chunks do not.
  bool list_is_sound(const Header& list) {
    const uint64_t end = list.body + list.size;
    for (uint64_t at = list.body + 4; at + grammar_.header_bytes() <= end;) {
      const std::optional<Header> header = header_at(at);
      if (!header || header->size > end - header->body) return false;
      at = grammar_.padded(header->body + header->size);
    }
    return list.size >= 4;
  }

  void leave_out(const Header& header) {
    const bool said = form_end_ && *form_end_ > *end_ + kSizeSlack;
    if (!said) map_.damaged.push_back(header.id.substr(0, 4));
    keep_packet_table(header, *end_);
  }

  // Without its table, sound in packets cannot be read. An incomplete table still locates the first packets.
  void keep_packet_table(const Header& header, uint64_t end) {
    if (map_.family == ChunkFamily::caf && header.id == "pakt")
      map_.chunks.push_back({header.id, header.body, end - std::min(end, header.body)});
  }

  // From ds64: the size of the sound in 64 bits.
  void note_64_bit_sizes(const Header& header) {
    if (map_.family != ChunkFamily::riff || header.id != "ds64" || header.size < 16) return;
    std::array<uint8_t, 16> sizes;
    if (source_.read_at(header.body, sizes) < sizes.size()) return;
    const uint64_t form = number_in(std::span(sizes).first(8), map_.big_endian);
    if (form > 0 && form < UINT64_MAX / 2) form_end_ = form + 8;
    const uint64_t sound = number_in(std::span(sizes).last(8), map_.big_endian);
    sound_64_ = sound < UINT64_MAX / 2 ? sound : 0;
  }

  // The sound's size according to the header; nullopt if it is not stated.
  std::optional<uint64_t> said_size(Header& header) {
    const uint64_t size = header.size;
    switch (map_.family) {
      case ChunkFamily::w64:
        return size == 0 || size >= UINT64_MAX / 2 ? std::nullopt : std::optional(size);
      case ChunkFamily::caf: {
        const bool open = size >= UINT64_MAX / 2 || size <= 4;
        header.body += 4;  // the edit count
        return open ? std::nullopt : std::optional(size - 4);
      }
      case ChunkFamily::aiff: {
        std::array<uint8_t, 4> offset;
        uint64_t skipped = source_.read_at(header.body, offset) == 4 ? number_in(offset, true) : 0;
        if (skipped > size || (end_ && skipped > *end_ - header.body)) skipped = 0;
        header.body += 8 + skipped;
        if (size <= 8 + skipped || is_open_32(size)) return std::nullopt;
        return size - 8 - skipped;
      }
      default:
        if (sound_64_ && (size == UINT32_MAX || size == *sound_64_ % kFourGib)) {
          return *sound_64_ == 0 ? std::nullopt : sound_64_;
        }
        return size == 0 || is_open_32(size) ? std::nullopt : std::optional(size);
    }
  }

  bool is_open_32(uint64_t size) const { return looks_open(size) && (!end_ || size > *end_); }

  // Returns where to continue after the sound.
  uint64_t take_sound(Header header) {
    const std::optional<uint64_t> said = said_size(header);
    map_.has_sound = true;
    map_.sound_at = header.body;
    if (!end_) {
      map_.sound_runs_to_end = !said;
      map_.sound_bytes = said.value_or(0);
      if (!said && is_said_to_be_empty(header) && chunks_follow(header.body)) map_.sound_runs_to_end = false;
      return header.body;
    }
    map_.sound_at = std::min(header.body, *end_);
    const uint64_t rest = *end_ - map_.sound_at;
    if (!said) {
      // If nothing or only chunks follow, the file is empty.
      const bool empty =
          is_said_to_be_empty(header) &&
          (rest < std::max<uint64_t>(encoding_of(source_, map_).block_bytes, 2) || chunks_follow(map_.sound_at));
      if (rest == 0 || empty) return map_.sound_at;
      map_.unfinalised = true;
      map_.sound_bytes = rest;
    } else if (*said > rest) {
      map_.truncated = true;
      map_.sound_bytes = rest;
    } else {
      map_.sound_bytes = extent(*said, rest);
      map_.unfinalised = map_.sound_bytes > *said;
      if (!map_.unfinalised) return end_of({header.id, header.at, map_.sound_at, *said});
    }
    return *end_;
  }

  bool is_said_to_be_empty(const Header& header) const {
    const uint64_t most = map_.family == ChunkFamily::aiff ? 8 : map_.family == ChunkFamily::caf ? 4 : 0;
    return header.size <= most || (sound_64_ == 0 && header.size == UINT32_MAX);
  }

  // The stated size, unless sound follows it. 32-bit sizes wrap around at 4 GiB.
  uint64_t extent(uint64_t said, uint64_t rest) {
    if (ends_at(map_.sound_at + said)) return said;
    if (grammar_.size_bytes == 4) {
      for (uint64_t wrapped = said + (rest - said) / kFourGib * kFourGib; wrapped > said; wrapped -= kFourGib) {
        if (ends_at(map_.sound_at + wrapped)) return wrapped;
      }
    }
    return rest;
  }

  // After a damaged chunk at or before `at`: the next header of the format or of the sound. Skips the chunks in
  // between.
  std::optional<uint64_t> search_for_sound(uint64_t at) {
    if (++searches_ > 2) return std::nullopt;
    // The size of the previous chunk may be wrong.
    while (!map_.chunks.empty() && map_.chunks.back().id != grammar_.format_id && map_.chunks.back().id != "ds64") {
      at = map_.chunks.back().at - grammar_.header_bytes();
      map_.damaged.push_back(map_.chunks.back().id.substr(0, 4));
      map_.chunks.pop_back();
    }
    at = std::min(at, std::exchange(suspect_, UINT64_MAX));
    const bool has_format = map_.find(grammar_.format_id) != nullptr;
    std::optional<uint64_t> best;
    size_t hits = 0;
    std::vector<uint8_t> block(1 << 16);
    const uint64_t until = std::min(*end_, at + kMostSearched);
    for (uint64_t from = at; from < until; from += block.size() - grammar_.id_bytes) {
      const size_t got = source_.read_at(from, block);
      const std::string_view text(reinterpret_cast<const char*>(block.data()), got);
      const std::string& wanted = has_format ? grammar_.sound_id : grammar_.format_id;
      for (size_t hit = text.find(wanted); hit != std::string_view::npos; hit = text.find(wanted, hit + 1)) {
        if (++hits > kMostHits) return best;
        const std::optional<Header> header = header_at(from + hit);
        if (!header || header->body > *end_) continue;
        // Cue points name their chunk "data", too.
        const bool exact = header->size > 0 && header->size <= *end_ - header->body && ends_or_goes_on(*header);
        if (exact) return from + hit;
        if (!best) best = from + hit;
      }
      if (got < block.size()) break;
    }
    return best;
  }

  bool ends_or_goes_on(const Header& header) {
    const uint64_t end = end_of(header);
    const std::optional<Header> next = header_at(end);
    return ends_at(end) || (next && next->is_known);
  }

  ByteSource& source_;
  ChunkMap& map_;
  const std::optional<uint64_t> end_;
  const Grammar grammar_;
  std::optional<uint64_t> form_end_, sound_64_;
  uint64_t suspect_ = UINT64_MAX;  // header of a chunk with damaged content
  int searches_ = 0;
  size_t headers_ = 0;
};

// Sun's format: a header, a text, the sound.
void walk_au(ByteSource& source, ChunkMap& map, std::span<const uint8_t> head) {
  const uint64_t offset = number_in(head.subspan(4, 4), map.big_endian),
                 said = number_in(head.subspan(8, 4), map.big_endian);
  const std::optional<uint64_t> end = source.size();
  constexpr uint64_t kHeaderBytes = 24;
  if (offset < kHeaderBytes || (end && offset > *end)) return;
  map.has_sound = true;
  map.sound_at = offset;
  const bool open = said == UINT32_MAX || said == 0;
  if (!end) {
    map.sound_runs_to_end = open;
    map.sound_bytes = open ? 0 : said;
    return;
  }
  map.sound_bytes = *end - offset;
  if (map.sound_bytes == 0) return;
  map.truncated = !open && said > map.sound_bytes;
  map.unfinalised = open || said < map.sound_bytes;
  if (!open && said < map.sound_bytes && map.sound_bytes - said <= kMostPadding) {
    const std::vector<uint8_t> behind = content_of(source, {"", offset + said, map.sound_bytes - said}, kMostPadding);
    if (std::all_of(behind.begin(), behind.end(), [](uint8_t byte) { return byte == 0; })) {
      map.sound_bytes = said;
      map.unfinalised = false;
    }
  }
}

// AIFF also states the number of frames in COMM.
void compare_frame_count(ByteSource& source, ChunkMap& map) {
  const FoundChunk* common = map.find("COMM");
  const uint64_t frame = encoding_of(source, map).block_bytes;
  if (common == nullptr || common->size < 18 || frame == 0 || !map.has_sound || !source.size()) return;
  const std::vector<uint8_t> content = content_of(source, *common, 18);
  if (content.size() < 18) return;
  const uint64_t said = number_in(std::span(content).subspan(2, 4), true), found = map.sound_bytes / frame;
  if (said == 0 && found > 0) map.unfinalised = !map.truncated;
  if (said != UINT32_MAX && said > found + 1 && !map.unfinalised) map.truncated = true;
}

Encoding wave_encoding(std::span<const uint8_t> format, bool big_endian) {
  constexpr uint64_t kPcm = 1, kFloat = 3, kALaw = 6, kMuLaw = 7, kExtensible = 0xfffe;
  if (format.size() < 16) return {};
  const uint64_t tag = number_in(format.first(2), big_endian);
  const uint64_t coded = tag == kExtensible && format.size() >= 26 ? number_in(format.subspan(24, 2), big_endian) : tag;
  const bool simple = coded == kPcm || coded == kFloat || coded == kALaw || coded == kMuLaw;
  return {number_in(format.subspan(12, 2), big_endian), simple, tag == kExtensible};
}

Encoding aiff_encoding(std::span<const uint8_t> common, bool is_c) {
  if (common.size() < 18) return {};
  const uint64_t channels = number_in(common.first(2), true), bits = number_in(common.subspan(6, 2), true);
  const std::string name = is_c && common.size() >= 22 ? std::string(common.begin() + 18, common.begin() + 22) : "NONE";
  if (name == "NONE" || name == "twos" || name == "sowt" || name == "raw ") return {channels * ((bits + 7) / 8), true};
  if (name == "ulaw" || name == "ULAW" || name == "alaw" || name == "ALAW") return {channels, true};
  if (name == "fl32" || name == "FL32" || name == "in32" || name == "23n1") return {4 * channels, true};
  if (name == "fl64" || name == "FL64") return {8 * channels, true};
  if (name == "in24" || name == "42n1") return {3 * channels, true};
  if (name == "ima4") return {34 * channels, false};
  return {};
}

Encoding caf_encoding(std::span<const uint8_t> description) {
  if (description.size() < 32) return {};
  const std::string name(description.begin() + 8, description.begin() + 12);
  return {number_in(description.subspan(16, 4), true), name == "lpcm" || name == "ulaw" || name == "alaw"};
}

Encoding au_encoding(std::span<const uint8_t> header, bool big_endian) {
  constexpr int kBytes[] = {0, 1, 1, 2, 3, 4, 4, 8};  // mu-law, 8 to 32 bits, float, double
  constexpr uint64_t kALaw = 27;
  const uint64_t code = number_in(header.subspan(12, 4), big_endian),
                 channels = number_in(header.subspan(20, 4), big_endian);
  if (code == kALaw) return {channels, true};
  return code >= 1 && code < std::size(kBytes) ? Encoding{kBytes[code] * channels, true} : Encoding{};
}

bool starts_with(std::span<const uint8_t> bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

}  // namespace

std::string w64_guid(const std::string& name) {
  if (name == "riff") return name + std::string("\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", 12);
  if (name == "list") return name + std::string("\x2f\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", 12);
  return name + std::string("\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 12);
}

const FoundChunk* ChunkMap::find(const std::string& id) const {
  const auto found =
      std::find_if(chunks.begin(), chunks.end(), [&](const FoundChunk& chunk) { return chunk.id == id; });
  return found == chunks.end() ? nullptr : &*found;
}

std::vector<FoundChunk> chunks_behind(ByteSource& source, const ChunkMap& map, uint64_t at) {
  ChunkMap copy = map;
  copy.chunks.clear();
  copy.has_sound = true;
  Walk(source, copy).collect(at);
  return copy.chunks;
}

std::vector<uint8_t> content_of(ByteSource& source, const FoundChunk& chunk, size_t most) {
  std::vector<uint8_t> content(static_cast<size_t>(std::min<uint64_t>(chunk.size, most)));
  content.resize(source.read_at(chunk.at, content));
  return content;
}

ChunkMap walk_chunks(ByteSource& source) {
  ChunkMap map;
  std::array<uint8_t, 40> bytes = {};
  // Does not wait for more of a pipe than necessary.
  const size_t got = source.read_at(0, std::span(bytes).first(12));
  const std::span<const uint8_t> head(bytes.data(), bytes.size());
  const std::string form(bytes.begin(), bytes.begin() + 4);
  const auto form_end = [&](bool big_endian) -> std::optional<uint64_t> {
    const uint64_t size = number_in(head.subspan(4, 4), big_endian);
    return size == 0 || looks_open(size) ? std::nullopt : std::optional(size + 8);
  };
  if (got == 12 && (form == "RIFF" || form == "RIFX" || form == "RF64" || form == "BW64") &&
      starts_with(head.subspan(8), "WAVE")) {
    map.family = ChunkFamily::riff;
    map.form = form;
    map.big_endian = form == "RIFX";
    Walk(source, map).run(12, form_end(map.big_endian));
  } else if (got == 12 && form == "FORM" &&
             (starts_with(head.subspan(8), "AIFF") || starts_with(head.subspan(8), "AIFC"))) {
    map.family = ChunkFamily::aiff;
    map.form = std::string(bytes.begin() + 8, bytes.begin() + 12);
    map.big_endian = true;
    Walk(source, map).run(12, form_end(true));
    compare_frame_count(source, map);
  } else if (got == 12 && form == "caff") {
    map.family = ChunkFamily::caf;
    map.form = form;
    map.big_endian = true;
    Walk(source, map).run(8, std::nullopt);
  } else if (got == 12 && (form == ".snd" || form == "dns.")) {
    map.family = ChunkFamily::au;
    map.form = form;
    map.big_endian = form == ".snd";
    walk_au(source, map, head);
  } else if (got == 12 && starts_with(head, "riff") && source.read_at(0, bytes) == bytes.size() &&
             starts_with(head, w64_guid("riff")) && starts_with(head.subspan(24), w64_guid("wave"))) {
    map.family = ChunkFamily::w64;
    map.form = form;
    const uint64_t size = number_in(head.subspan(16, 8), false);
    Walk(source, map).run(40, size == 0 || size >= UINT64_MAX / 2 ? std::nullopt : std::optional(size));
  }
  return map;
}

bool sound_ends_at(ByteSource& source, const ChunkMap& map, uint64_t at) {
  ChunkMap copy = map;
  return Walk(source, copy).ends_at(at);
}

Encoding encoding_of(ByteSource& source, const ChunkMap& map) {
  constexpr size_t kMostRead = 40;
  if (map.family == ChunkFamily::au) {
    const std::vector<uint8_t> header = content_of(source, {"", 0, 24}, kMostRead);
    return header.size() < 24 ? Encoding{} : au_encoding(header, map.big_endian);
  }
  const FoundChunk* format = map.find(grammar_of(map).format_id);
  if (format == nullptr) return {};
  const std::vector<uint8_t> content = content_of(source, *format, kMostRead);
  if (map.family == ChunkFamily::aiff) return aiff_encoding(content, map.form == "AIFC");
  if (map.family == ChunkFamily::caf) return caf_encoding(content);
  return wave_encoding(content, map.big_endian);
}

}  // namespace coil::cli
