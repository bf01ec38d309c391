// Sources: Microsoft's "New Multimedia Data Types and Data Techniques" 3.0 (cue, adtl, smpl, inst), Apple's "Audio
// Interchange File Format 1.3" (MARK, INST).
#include "cli/sound/cue_points.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <string_view>

#include "cli/sound/byte_order.h"

namespace coil::cli {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr int kForward = 1, kBackAndForth = 2;  // AIFF's play modes
constexpr size_t kAiffLoops = 2;                // sustain and release
constexpr size_t kMostMarkers = 0x7fff, kLongestName = 255;
constexpr uint64_t kFractionOfSemitone = uint64_t{1} << 32;

struct Marker {
  uint64_t id = 0, frame = 0;
  std::string name;
};

struct Loop {
  int mode = kForward;
  uint64_t begin = 0, end = 0, count = 0;  // `end` is exclusive; count 0: forever
};

struct Instrument {
  int note = 60, cents = 0, gain_db = 0;
  int low_note = 0, high_note = 127, low_velocity = 1, high_velocity = 127;
  std::vector<Loop> loops;
};

struct Cues {
  std::vector<Marker> markers;
  std::optional<Instrument> instrument;
};

uint64_t number(const Bytes& bytes, size_t at, size_t count, bool big_endian) {
  if (at > bytes.size() || count > bytes.size() - at) return 0;
  return number_in(std::span(bytes).subspan(at, count), big_endian);
}

int small(const Bytes& bytes, size_t at) { return static_cast<int8_t>(number(bytes, at, 1, true)); }

const MetadataChunk* find(const Metadata& metadata, std::string_view id, std::string_view type = "") {
  for (const MetadataChunk& chunk : metadata.chunks) {
    const bool is_of_type =
        chunk.content.size() >= type.size() && std::memcmp(chunk.content.data(), type.data(), type.size()) == 0;
    if (chunk.id == id && is_of_type) return &chunk;
  }
  return nullptr;
}

// --- RIFF

void read_labels(const Bytes& list, bool big_endian, std::vector<Marker>& markers) {
  for (size_t at = 4; at + 8 <= list.size();) {
    const uint64_t size = number(list, at + 4, 4, big_endian);
    if (size > list.size() - at - 8) return;
    if (std::memcmp(&list[at], "labl", 4) == 0 && size >= 4) {
      const uint64_t id = number(list, at + 8, 4, big_endian);
      std::string name(list.begin() + static_cast<std::ptrdiff_t>(at) + 12,
                       list.begin() + static_cast<std::ptrdiff_t>(at + 8 + size));
      name.resize(std::strlen(name.c_str()));
      const auto marker = std::ranges::find(markers, id, &Marker::id);
      if (marker != markers.end()) marker->name = name;
    }
    at += 8 + size + size % 2;
  }
}

Instrument instrument_of_riff(const MetadataChunk* smpl, const MetadataChunk* inst, bool big_endian,
                              std::vector<std::string>& lost) {
  Instrument instrument;
  bool is_whole = true;
  if (smpl != nullptr) {
    constexpr size_t kNote = 12, kFraction = 16, kCount = 28, kHead = 36, kLoop = 24;
    const Bytes& bytes = smpl->content;
    instrument.note = static_cast<int>(number(bytes, kNote, 4, big_endian) & 127);
    instrument.cents = static_cast<int>(100 * number(bytes, kFraction, 4, big_endian) / kFractionOfSemitone);
    const uint64_t count = number(bytes, kCount, 4, big_endian);
    for (uint64_t i = 0; i < count && kHead + (i + 1) * kLoop <= bytes.size(); ++i) {
      const size_t at = kHead + i * kLoop;
      const uint64_t type = number(bytes, at + 4, 4, big_endian);
      if (type > 1 || instrument.loops.size() == kAiffLoops) {
        is_whole = false;
        continue;
      }
      instrument.loops.push_back({type == 1 ? kBackAndForth : kForward, number(bytes, at + 8, 4, big_endian),
                                  number(bytes, at + 12, 4, big_endian) + 1, number(bytes, at + 20, 4, big_endian)});
    }
  }
  if (!is_whole) lost.push_back("smpl");
  if (inst != nullptr) {
    const Bytes& bytes = inst->content;
    instrument.note = small(bytes, 0);
    instrument.cents = small(bytes, 1);
    instrument.gain_db = small(bytes, 2);
    instrument.low_note = small(bytes, 3);
    instrument.high_note = small(bytes, 4);
    instrument.low_velocity = small(bytes, 5);
    instrument.high_velocity = small(bytes, 6);
  }
  return instrument;
}

Cues cues_of_riff(const Metadata& metadata, std::vector<std::string>& lost) {
  const bool big_endian = metadata.big_endian;
  Cues cues;
  if (const MetadataChunk* cue = find(metadata, "cue ")) {
    constexpr size_t kHead = 4, kCue = 24, kSampleOffset = 20;
    for (size_t at = kHead; at + kCue <= cue->content.size(); at += kCue)
      cues.markers.push_back(
          {number(cue->content, at, 4, big_endian), number(cue->content, at + kSampleOffset, 4, big_endian), ""});
  }
  if (const MetadataChunk* list = find(metadata, "LIST", "adtl")) read_labels(list->content, big_endian, cues.markers);
  const MetadataChunk *smpl = find(metadata, "smpl"), *inst = find(metadata, "inst");
  if (smpl != nullptr || inst != nullptr) cues.instrument = instrument_of_riff(smpl, inst, big_endian, lost);
  return cues;
}

void put_chunk(Bytes& bytes, std::string_view id, const Bytes& content) {
  put_text(bytes, id);
  put_number(bytes, content.size(), 4);
  bytes.insert(bytes.end(), content.begin(), content.end());
  if (content.size() % 2 == 1) bytes.push_back(0);
}

void put_instrument(std::vector<MetadataChunk>& chunks, const Instrument& instrument, int sample_rate_hz) {
  Bytes smpl, inst;
  const bool is_below = instrument.cents < 0;  // RIFF's fraction is never negative
  const uint64_t cents = static_cast<uint64_t>(instrument.cents + (is_below ? 100 : 0));
  for (uint64_t value :
       {uint64_t{0}, uint64_t{0}, uint64_t{1000000000} / static_cast<uint64_t>(std::max(sample_rate_hz, 1)),
        static_cast<uint64_t>(std::max(instrument.note - is_below, 0)), cents * kFractionOfSemitone / 100, uint64_t{0},
        uint64_t{0}, uint64_t{instrument.loops.size()}, uint64_t{0}})
    put_number(smpl, value, 4);
  uint64_t id = 0;
  for (const Loop& loop : instrument.loops) {
    for (uint64_t value : {id++, uint64_t{loop.mode == kBackAndForth}, loop.begin, std::max<uint64_t>(loop.end, 1) - 1,
                           uint64_t{0}, loop.count})
      put_number(smpl, value, 4);
  }
  for (int value : {instrument.note, instrument.cents, instrument.gain_db, instrument.low_note, instrument.high_note,
                    instrument.low_velocity, instrument.high_velocity})
    inst.push_back(static_cast<uint8_t>(value));
  chunks.push_back({"smpl", std::move(smpl)});
  chunks.push_back({"inst", std::move(inst)});
}

std::vector<MetadataChunk> riff_of_cues(const Cues& cues, int sample_rate_hz) {
  std::vector<MetadataChunk> chunks;
  if (!cues.markers.empty()) {
    Bytes cue, labels;
    put_text(labels, "adtl");
    put_number(cue, cues.markers.size(), 4);
    for (const Marker& marker : cues.markers) {
      put_number(cue, marker.id, 4);
      put_number(cue, marker.frame, 4);
      put_text(cue, "data");
      put_number(cue, 0, 4);
      put_number(cue, 0, 4);
      put_number(cue, marker.frame, 4);
      if (marker.name.empty()) continue;
      Bytes label;
      put_number(label, marker.id, 4);
      put_text(label, marker.name + '\0');
      put_chunk(labels, "labl", label);
    }
    chunks.push_back({"cue ", std::move(cue)});
    if (labels.size() > 4) chunks.push_back({"LIST", std::move(labels)});
  }
  if (cues.instrument) put_instrument(chunks, *cues.instrument, sample_rate_hz);
  return chunks;
}

// --- AIFF

Cues cues_of_aiff(const Metadata& metadata) {
  Cues cues;
  if (const MetadataChunk* mark = find(metadata, "MARK")) {
    const Bytes& bytes = mark->content;
    for (size_t at = 2; at + 7 <= bytes.size();) {
      const size_t length = bytes[at + 6], end = std::min(at + 7 + length, bytes.size());
      cues.markers.push_back({number(bytes, at, 2, true), number(bytes, at + 2, 4, true),
                              std::string(bytes.begin() + static_cast<std::ptrdiff_t>(at) + 7,
                                          bytes.begin() + static_cast<std::ptrdiff_t>(end))});
      at += 7 + length + (length + 1) % 2;
    }
  }
  const MetadataChunk* inst = find(metadata, "INST");
  if (inst == nullptr) return cues;
  const Bytes& bytes = inst->content;
  Instrument& instrument = cues.instrument.emplace();
  instrument = {small(bytes, 0),
                small(bytes, 1),
                static_cast<int16_t>(number(bytes, 6, 2, true)),
                small(bytes, 2),
                small(bytes, 3),
                small(bytes, 4),
                small(bytes, 5),
                {}};
  std::set<uint64_t> ends_of_loops;
  for (size_t at : {size_t{8}, size_t{14}}) {
    const uint64_t mode = number(bytes, at, 2, true), begin_id = number(bytes, at + 2, 2, true),
                   end_id = number(bytes, at + 4, 2, true);
    const auto begin = std::ranges::find(cues.markers, begin_id, &Marker::id),
               end = std::ranges::find(cues.markers, end_id, &Marker::id);
    if (mode == 0 || begin == cues.markers.end() || end == cues.markers.end()) continue;
    instrument.loops.push_back({mode == kBackAndForth ? kBackAndForth : kForward, begin->frame, end->frame, 0});
    ends_of_loops.insert({begin_id, end_id});
  }
  std::erase_if(cues.markers, [&](const Marker& marker) { return ends_of_loops.contains(marker.id); });
  return cues;
}

void put_marker(Bytes& bytes, size_t id, const Marker& marker) {
  const std::string name = marker.name.substr(0, kLongestName);
  put_number(bytes, id, 2, true);
  put_number(bytes, marker.frame, 4, true);
  put_number(bytes, name.size(), 1);
  put_text(bytes, name);
  if (name.size() % 2 == 0) bytes.push_back(0);
}

std::vector<MetadataChunk> aiff_of_cues(const Cues& cues, std::vector<std::string>& lost) {
  std::vector<Marker> markers = cues.markers;
  if (markers.size() > kMostMarkers - 2 * kAiffLoops) {
    markers.resize(kMostMarkers - 2 * kAiffLoops);
    lost.push_back("cue ");
  }
  Bytes inst;
  if (cues.instrument) {
    const Instrument& instrument = *cues.instrument;
    for (int value : {instrument.note, instrument.cents, instrument.low_note, instrument.high_note,
                      instrument.low_velocity, instrument.high_velocity})
      inst.push_back(static_cast<uint8_t>(value));
    put_number(inst, static_cast<uint16_t>(instrument.gain_db), 2, true);
    for (size_t i = 0; i < kAiffLoops; ++i) {
      const bool is_there = i < instrument.loops.size();
      put_number(inst, is_there ? static_cast<uint64_t>(instrument.loops[i].mode) : 0, 2, true);
      for (const char* end : {"begin", "end"}) {
        put_number(inst, is_there ? markers.size() + 1 : 0, 2, true);
        if (!is_there) continue;
        const Loop& loop = instrument.loops[i];
        markers.push_back({0, *end == 'b' ? loop.begin : loop.end, std::string(end) + " loop"});
      }
    }
  }
  std::vector<MetadataChunk> chunks;
  if (!markers.empty()) {
    Bytes mark;
    put_number(mark, markers.size(), 2, true);
    for (size_t i = 0; i < markers.size(); ++i) put_marker(mark, i + 1, markers[i]);
    chunks.push_back({"MARK", std::move(mark)});
  }
  if (!inst.empty()) chunks.push_back({"INST", std::move(inst)});
  return chunks;
}

bool is_riff(ChunkFamily family) { return family == ChunkFamily::riff || family == ChunkFamily::w64; }

bool is_list_of_labels(const Bytes& list, bool big_endian) {
  if (list.size() < 4 || std::memcmp(list.data(), "adtl", 4) != 0) return false;
  for (size_t at = 4; at + 8 <= list.size();) {
    if (std::memcmp(&list[at], "labl", 4) != 0) return false;
    const uint64_t size = number(list, at + 4, 4, big_endian);
    at += 8 + size + size % 2;
  }
  return true;
}

}  // namespace

std::vector<MetadataChunk> translated_cues(const Metadata& metadata, ChunkFamily to, std::vector<std::string>& lost) {
  if (is_riff(metadata.family) && to == ChunkFamily::aiff) return aiff_of_cues(cues_of_riff(metadata, lost), lost);
  if (metadata.family == ChunkFamily::aiff && is_riff(to))
    return riff_of_cues(cues_of_aiff(metadata), metadata.sample_rate_hz);
  return {};
}

bool holds_cues(const Metadata& metadata, const MetadataChunk& chunk, ChunkFamily to) {
  const ChunkFamily from = metadata.family;
  if (is_riff(from) && to == ChunkFamily::aiff) {
    return chunk.id == "cue " || chunk.id == "smpl" || chunk.id == "inst" ||
           (chunk.id == "LIST" && is_list_of_labels(chunk.content, metadata.big_endian));
  }
  return from == ChunkFamily::aiff && is_riff(to) && (chunk.id == "MARK" || chunk.id == "INST");
}

}  // namespace coil::cli
