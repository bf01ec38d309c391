// Where libsndfile writes to: a part file, watched so that no failure of the disk is lost, whatever an encoder makes of
// it.
#pragma once

#include <sndfile.h>

#include <filesystem>
#include <string>

#include "base/part_file.h"

namespace coil::cli {

// One thread at a time.
class SoundOutput {
 public:
  explicit SoundOutput(const std::filesystem::path& path) : part_(path) {}

  PartFile& part() { return part_; }

  // What sf_open() does, for writing; null: sf_strerror() says why.
  SNDFILE* open(SF_INFO& info);

  // Why bytes could not be written; empty: all could. [after every call of libsndfile]
  const std::string& error() const { return error_; }

 private:
  static SF_VIRTUAL_IO calls();
  sf_count_t write(const void* data, sf_count_t bytes);

  PartFile part_;
  std::string error_;
};

}  // namespace coil::cli
