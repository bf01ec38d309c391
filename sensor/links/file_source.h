// Reads a file to its end, from its beginning or from where an earlier run ended.
#pragma once

#include <string>

#include "sensor/links/growing_file.h"
#include "sensor/links/source.h"

namespace coil::sensor {

class FileSource final : public Source {
 public:
  // Reads a seekable file from the current position of `descriptor`, and closes it. `name`: for messages.
  FileSource(int descriptor, std::string name);

  bool is_live() const override { return false; }
  bool read(std::vector<Message>& messages, std::chrono::milliseconds wait) override;

  std::string place_after(size_t messages) const override;
  // Throws Error if the file does not contain the bytes that were read before the position.
  void go_on(const std::string& place) override;

 private:
  std::string name_;
  GrowingFile file_;
  std::vector<GrowingFile::Mark> marks_;  // before the first message of the last read, and after each one
};

// Whether a descriptor refers to a file that can be read from any position.
bool is_seekable(int descriptor);

}  // namespace coil::sensor
