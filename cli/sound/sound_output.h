// libsndfile's output: a part file that records every write error, even if an encoder ignores it.
#pragma once

#include <sndfile.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/part_file.h"

namespace coil::cli {

// One thread at a time.
class SoundOutput {
 public:
  explicit SoundOutput(const std::filesystem::path& path) : part_(path) {}

  PartFile& part() { return part_; }

  // Hides `size` bytes before libsndfile's byte at `at`: space for data that libsndfile cannot write. [before open()]
  void leave_room(int64_t at, int64_t size) {
    room_at_ = at;
    room_ = size;
  }

  // Does what sf_open() does for writing; null: sf_strerror() gives the reason.
  SNDFILE* open(SF_INFO& info);

  // Why bytes could not be written; empty if all were written. Check it after every call of libsndfile.
  const std::string& error() const { return error_; }

 private:
  static SF_VIRTUAL_IO calls();
  sf_count_t write(const void* data, sf_count_t bytes);
  bool write_all(const void* data, sf_count_t bytes);
  int64_t in_file(int64_t place) const { return place < room_at_ ? place : place + room_; }
  int64_t in_view(int64_t place) const { return place < room_at_ + room_ ? std::min(place, room_at_) : place - room_; }

  PartFile part_;
  std::string error_;
  int64_t room_at_ = INT64_MAX / 2, room_ = 0;
};

}  // namespace coil::cli
