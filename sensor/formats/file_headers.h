// CSV of several files, each with a header of its own: their rows come out under the columns that came first.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "sensor/formats/format.h"
#include "sensor/links/link.h"

namespace coil::sensor {

// One thread.
class FileHeaders {
 public:
  // The next line of this file is its first.
  void begin(int32_t file) { files_[file] = {}; }

  enum class Line {
    kNone,     // a header
    kAsItIs,
    kMoved,    // `moved` is the line under the columns that came first
    kMalformed
  };
  // What a line is to `first`, the format of the first file once its columns are known. `what`: of a malformed line what is wrong; of others a
  // warning, or empty.
  Line take(const Format& first, const Message& message, std::string& moved, std::string& what);

 private:
  struct File {
    std::unique_ptr<Format> format;  // null: its first line is still to come
    bool has_rows = false;
  };
  std::map<int32_t, File> files_;  // whose columns differ, or are not known yet
};

}  // namespace coil::sensor
