// Where libsndfile writes to: a part file, watched so that no failure of the disk is lost, whatever an encoder makes of
// it.
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

  // libsndfile does not get to see `size` bytes before its byte at `at`: room for what it cannot write. [before open()]
  void leave_room(int64_t at, int64_t size) {
    room_at_ = at;
    room_ = size;
  }

  // What sf_open() does, for writing; null: sf_strerror() says why.
  SNDFILE* open(SF_INFO& info);

  // Why bytes could not be written; empty: all could. [after every call of libsndfile]
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
