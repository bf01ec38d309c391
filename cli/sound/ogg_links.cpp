// A walk over Ogg's pages with libogg, which checks each one's checksum.
#include <ogg/ogg.h>

#include <map>

#include "cli/sound/linked_reader.h"

namespace coil::cli {
namespace {

constexpr size_t kReadBytes = 1 << 16;

class Walk {
 public:
  void skip() { skipped_ = true; }

  void take(const ogg_page& page, uint64_t at, uint64_t end) {
    const bool begins = ogg_page_bos(&page) != 0;
    if (begins && (links_.empty() || !headers_)) begin_link(at);
    headers_ = begins;
    if (links_.empty()) return;  // the beginning is missing
    SoundLink& link = links_.back();
    const int serial = ogg_page_serialno(&page);
    const long number = ogg_page_pageno(&page);
    const auto expected = next_number_.find(serial);
    if (!begins && (skipped_ || (expected != next_number_.end() && expected->second != number))) {
      if (link.faults.damaged_places++ == 0) link.faults.first_damage_frame = granule_;
    }
    skipped_ = false;
    next_number_[serial] = number + 1;
    if (ogg_page_granulepos(&page) >= 0) granule_ = ogg_page_granulepos(&page);
    if (ogg_page_eos(&page)) link.faults.truncated = false;
    link.end = end;
  }

  std::vector<SoundLink> links() { return std::move(links_); }

 private:
  void begin_link(uint64_t at) {
    links_.push_back({.begin = links_.empty() ? 0 : at, .end = at, .faults = {}, .inserted = {}});
    links_.back().faults.truncated = true;  // until the page that ends it
    next_number_.clear();
    granule_ = 0;
    skipped_ = false;
  }

  std::vector<SoundLink> links_;
  std::map<int, long> next_number_;  // by serial number
  int64_t granule_ = 0;
  bool headers_ = false;  // the last page began a stream: several begin together
  bool skipped_ = false;  // bytes that are no page came before
};

}  // namespace

std::vector<SoundLink> ogg_links(ByteSource& source) {
  uint8_t head[4] = {};
  if (source.read_at(0, head) != sizeof head || head[0] != 'O' || head[1] != 'g' || head[2] != 'g' || head[3] != 'S')
    return {};
  ogg_sync_state sync;
  ogg_sync_init(&sync);
  const std::unique_ptr<ogg_sync_state, decltype(&ogg_sync_clear)> cleared(&sync, &ogg_sync_clear);
  Walk walk;
  uint64_t read = 0, at = 0;
  for (;;) {
    ogg_page page;
    const long size = ogg_sync_pageseek(&sync, &page);
    if (size > 0) {
      walk.take(page, at, at + static_cast<uint64_t>(size));
      at += static_cast<uint64_t>(size);
    } else if (size < 0) {
      walk.skip();
      at += static_cast<uint64_t>(-size);
    } else {
      auto* buffer = reinterpret_cast<uint8_t*>(ogg_sync_buffer(&sync, kReadBytes));
      const size_t got = source.read_at(read, {buffer, kReadBytes});
      if (got == 0) break;
      ogg_sync_wrote(&sync, static_cast<long>(got));
      read += got;
    }
  }
  return walk.links();
}

}  // namespace coil::cli
