// Walks over Ogg's pages with libogg, which verifies each page's checksum.
#include <ogg/ogg.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>

#include "cli/sound/byte_order.h"
#include "cli/sound/id3.h"
#include "cli/sound/linked_reader.h"

namespace coil::cli {
namespace {

constexpr size_t kReadBytes = 1 << 16;
constexpr long kMostPagesMissing = 8;  // more missing pages at the start of a file are not damage

// How many header packets a stream starts with, judged by the first; 0: unknown kind.
int header_packets(const ogg_page& first) {
  const std::string_view body(reinterpret_cast<const char*>(first.body), static_cast<size_t>(first.body_len));
  if (body.starts_with("\1vorbis")) return 3;
  return body.starts_with("OpusHead") ? 2 : 0;
}

// Opus: the pre-skip in the first page must not be skipped after damage.
constexpr size_t kPreSkip = 10, kPreSkipBytes = 2;

std::vector<uint8_t> without_pre_skip(const ogg_page& first) {
  std::vector<uint8_t> bytes(first.header, first.header + first.header_len);
  bytes.insert(bytes.end(), first.body, first.body + first.body_len);
  ogg_page page = {bytes.data(), first.header_len, bytes.data() + first.header_len, first.body_len};
  const std::string_view body(reinterpret_cast<const char*>(page.body), static_cast<size_t>(page.body_len));
  if (!body.starts_with("OpusHead") || body.size() < kPreSkip + kPreSkipBytes) return bytes;
  std::fill_n(page.body + kPreSkip, kPreSkipBytes, 0);
  ogg_page_checksum_set(&page);
  return bytes;
}

int64_t begin_position(const ogg_page& first) {
  const std::string_view body(reinterpret_cast<const char*>(first.body), static_cast<size_t>(first.body_len));
  if (!body.starts_with("OpusHead") || body.size() < kPreSkip + kPreSkipBytes) return 0;
  return static_cast<int64_t>(number_in({first.body + kPreSkip, kPreSkipBytes}, false));
}

class Walk {
 public:
  void skip() { skipped_ = true; }

  void take(const ogg_page& page, uint64_t at, uint64_t end) {
    const bool begins = ogg_page_bos(&page) != 0;
    if (begins && (links_.empty() || !headers_)) begin_file(at);
    headers_ = begins;
    if (links_.empty()) return;  // the beginning is missing
    const int serial = ogg_page_serialno(&page);
    const long number = ogg_page_pageno(&page);
    if (begins && !serial_ && header_packets(page) > 0) {
      serial_ = serial;
      header_packets_left_ = header_packets(page);
      links_.back().begin_position = begin_position(page);
      first_page_ = {at, end - at, without_pre_skip(page)};
    }
    const auto expected = next_number_.find(serial);
    const bool is_missing = expected != next_number_.end() && expected->second != number;
    // A recording of a broadcast has the headers, followed by any later page.
    const bool is_late = is_missing && expected->second == first_number_ && number - first_number_ > kMostPagesMissing;
    if (!begins && (skipped_ || (is_missing && !is_late))) note_damage(at);
    skipped_ = false;
    next_number_[serial] = number + 1;
    SoundLink& link = links_.back();
    link.pieces.back().size = end - link.pieces.back().at;
    if (ogg_page_eos(&page)) link.faults.truncated = false;
    if (serial_ && *serial_ != serial) return;
    if (ogg_page_granulepos(&page) >= 0) granule_ = ogg_page_granulepos(&page);
    if (header_packets_left_ > 0) {
      header_packets_left_ -= ogg_page_packets(&page);
      headers_end_ = end;
      first_number_ = number + 1;
    } else if (serial_ && ogg_page_granulepos(&page) >= 0) {
      link.end_position = granule_;
    }
  }

  std::vector<SoundLink> links() { return std::move(links_); }

 private:
  void begin_file(uint64_t at) {
    headers_begin_ = at;
    links_.push_back({.pieces = {{headers_begin_, 0, {}}}, .faults = {}});
    links_.back().faults.truncated = true;  // until its last page is found
    next_number_.clear();
    first_number_ = -1;
    serial_.reset();
    header_packets_left_ = 0;
    granule_ = 0;
    skipped_ = false;
  }

  // What follows becomes another link with the same headers. If they are unknown, a decoder continues as well as it
  // can.
  void note_damage(uint64_t at) {
    SoundLink& link = links_.back();
    if (!serial_ || header_packets_left_ > 0) {
      if (link.faults.damaged_places++ == 0) link.faults.first_damage_frame = granule_;
      return;
    }
    const uint64_t second_page_at = first_page_.at + first_page_.size;
    SoundLink next = {.pieces = {{headers_begin_, first_page_.at - headers_begin_, {}},
                                 first_page_,
                                 {second_page_at, headers_end_ - second_page_at, {}},
                                 {at, 0, {}}},
                      .faults = {}};
    next.goes_on = true;
    std::swap(next.faults.truncated, link.faults.truncated);
    links_.push_back(std::move(next));
  }

  std::vector<SoundLink> links_;
  std::map<int, long> next_number_;  // by serial number
  long first_number_ = -1;           // of the first page after the headers, in the stream of sound
  std::optional<int> serial_;        // of the stream of sound, if known
  int header_packets_left_ = 0;
  uint64_t headers_begin_ = 0, headers_end_ = 0;  // bytes of the current file
  SoundLink::Piece first_page_;                   // of the stream of sound, for links that continue it
  int64_t granule_ = 0;
  bool headers_ = false;  // the last page started a stream; several may start together
  bool skipped_ = false;  // preceded by bytes that are not a page
};

// Calls take(page, at, end) for each intact page, skip() for bytes between pages. Returns false if it is not Ogg.
template <class Take, class Skip>
bool walk_pages(ByteSource& source, Take take, Skip skip) {
  const uint64_t begin = id3_bytes(source);
  uint8_t head[4] = {};
  if (source.read_at(begin, head) != sizeof head || std::memcmp(head, "OggS", 4) != 0) return false;
  ogg_sync_state sync;
  ogg_sync_init(&sync);
  const std::unique_ptr<ogg_sync_state, decltype(&ogg_sync_clear)> cleared(&sync, &ogg_sync_clear);
  uint64_t read = begin, at = begin;
  for (;;) {
    ogg_page page;
    const long size = ogg_sync_pageseek(&sync, &page);
    if (size > 0) {
      take(page, at, at + static_cast<uint64_t>(size));
      at += static_cast<uint64_t>(size);
    } else if (size < 0) {
      skip();
      at += static_cast<uint64_t>(-size);
    } else {
      auto* buffer = reinterpret_cast<uint8_t*>(ogg_sync_buffer(&sync, kReadBytes));
      const size_t got = source.read_at(read, {buffer, kReadBytes});
      if (got == 0) return true;
      ogg_sync_wrote(&sync, static_cast<long>(got));
      read += got;
    }
  }
}

// Source: the mapping of FLAC into Ogg, RFC 9639.
constexpr std::string_view kFlacMark =
    "\x7f"
    "FLAC";
constexpr size_t kFlacMarkBytes = 9;  // including version and count

bool begins_flac(const ogg_page& page) {
  const std::string_view body(reinterpret_cast<const char*>(page.body), static_cast<size_t>(page.body_len));
  return ogg_page_bos(&page) != 0 && body.starts_with(kFlacMark) && body.size() > kFlacMarkBytes;
}

// Judged by the first page; others may start other streams.
bool may_hold_flac(ByteSource& source) {
  constexpr size_t kHeaderBytes = 28;  // of a page with one packet
  std::array<char, kHeaderBytes + kFlacMark.size()> head = {};
  source.read_at(id3_bytes(source), {reinterpret_cast<uint8_t*>(head.data()), head.size()});
  const std::string_view text(head.data(), head.size());
  return text.starts_with("OggS") && text.ends_with(kFlacMark);
}

}  // namespace

std::vector<SoundLink> ogg_links(ByteSource& source) {
  Walk walk;
  const bool is_ogg = walk_pages(
      source, [&](const ogg_page& page, uint64_t at, uint64_t end) { walk.take(page, at, end); }, [&] { walk.skip(); });
  return is_ogg ? walk.links() : std::vector<SoundLink>();
}

OggFlac flac_in_ogg(const std::shared_ptr<ByteSource>& source) {
  if (!may_hold_flac(*source)) return {};
  const auto flac = std::make_shared<PartsOfBytes>(source);
  std::optional<int> serial;
  bool has_end = false;
  const auto take = [&](const ogg_page& page, uint64_t at, uint64_t) {
    const bool begins = begins_flac(page);
    if (begins) serial = ogg_page_serialno(&page);
    if (serial != ogg_page_serialno(&page)) return;
    const uint64_t skipped = begins ? kFlacMarkBytes : 0;
    flac->add(at + static_cast<uint64_t>(page.header_len) + skipped, static_cast<uint64_t>(page.body_len) - skipped);
    has_end = ogg_page_eos(&page) != 0;
  };
  walk_pages(*source, take, [] {});
  return {flac, has_end};
}

}  // namespace coil::cli
