// Reads a file that does not change, once.
#include "sensor/links/file_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.h"

namespace coil::sensor {

bool is_seekable(int descriptor) {
  struct stat found;
  return ::fstat(descriptor, &found) == 0 && S_ISREG(found.st_mode) && ::lseek(descriptor, 0, SEEK_CUR) >= 0;
}

FileSource::FileSource(int descriptor, std::string name)
    : name_(std::move(name)),
      file_(GrowingFile::place_in(descriptor, name_, std::max<int64_t>(0, ::lseek(descriptor, 0, SEEK_CUR)))),
      marks_{file_.mark()} {
  file_.attach(descriptor);
}

void FileSource::go_on(const std::string& place) {
  const std::vector<FilePlace> places = unpack_places(place);
  if (places.size() != 1)
    throw Error("--resume: the state was not made from one file; without --resume " + name_ +
                " is read from its beginning");
  const int descriptor = ::fcntl(file_.descriptor(), F_DUPFD_CLOEXEC, 0);
  if (!file_.resume(places.front(), descriptor)) {
    throw Error("--resume: " + name_ + " is not the file that the state has seen up to byte " +
                std::to_string(places.front().end()) +
                ": what comes before differs; without --resume it is read from its beginning");
  }
  marks_ = {file_.mark()};
}

bool FileSource::read(std::vector<Message>& messages, std::chrono::milliseconds) {
  file_.forget_taken();
  marks_ = {file_.mark()};
  GrowingFile::Found found;
  try {
    found = file_.read();
  } catch (const Error& error) {
    throw Error(name_ + ": " + error.what());
  }
  if (found == GrowingFile::Found::kOther) throw Error(name_ + ": was changed while it was read");
  const auto take = [&](std::optional<Line> line) {
    if (!line) return false;
    messages.push_back(as_message(std::move(*line), file_.line()));
    marks_.push_back(file_.mark());
    return true;
  };
  while (take(file_.next_line())) continue;
  if (found == GrowingFile::Found::kMore) return true;
  take(file_.take_unended());
  return false;
}

std::string FileSource::place_after(size_t messages) const {
  const FilePlace place = file_.place_at(marks_[messages]);
  return pack(std::span(&place, 1));
}

}  // namespace coil::sensor
