// A file that is read line by line from any place on, while it may grow, shrink or become another.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sensor/formats/line_cutter.h"

namespace coil::sensor {

// What tells a file from all others that exist at the same time.
struct FileIdentity {
  uint64_t device = 0, inode = 0;

  template <class Fields>
  void visit(Fields&& fields) {
    fields(device, inode);
  }

  auto operator<=>(const FileIdentity&) const = default;
};
FileIdentity identity_of(const struct stat& found);
int64_t modified_ns(const struct stat& found);

// How far a file was read, and how to know it again.
struct FilePlace {
  std::string name;  // under which it is followed; rotation may have given it another since
  FileIdentity identity;
  int64_t offset = 0;        // of the first byte that belongs to no record taken so far
  int64_t unended = 0;       // so many bytes from there on were taken as a last line without an end
  bool inside_line = false;  // the rest of a line that was too long comes next
  int64_t lines = 0;         // before `offset`
  int32_t number = 0;        // of the file among those of a source
  int64_t modified_ns = 0;   // when it was looked at last
  uint64_t fingerprint = 0;  // of the last bytes before offset + unended
  bool is_left = false;      // another file took its name, and it was read to its end

  int64_t end() const { return offset + unended; }
};

std::string pack(std::span<const FilePlace> places);
std::vector<FilePlace> unpack_places(const std::string& text);  // throws Error

// One thread at a time.
class GrowingFile {
 public:
  // What was taken, after a line.
  struct Mark {
    int64_t offset, unended, lines;
    bool inside_line;
  };
  enum class Found {
    kNothing,  // no new bytes
    kMore,
    kOther  // shorter than it was, or other bytes before the place: it was truncated or written anew
  };

  explicit GrowingFile(FilePlace place);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  // A place that nothing was read before.
  static FilePlace place_in(int descriptor, std::string name, int64_t offset);
  // Whether the file holds the bytes that were read before the place.
  static bool holds(int descriptor, const FilePlace& place);

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  // Takes the descriptor over. false: it is not open at the file of the place, or the bytes before are others; it is
  // closed then.
  bool attach(int descriptor);
  // The same at another place, with nothing of the one before.
  bool resume(FilePlace place, int descriptor);
  void close();

  // Reads what is there, not too much at once. Throws Error, without the file's name, when it cannot be read.
  Found read();
  // The next whole line; none: the next read may bring it. A line that was taken when it had no end is passed over.
  std::optional<Line> next_line();
  // The text behind the last end of line, as a line; none: there is none that was not taken.
  std::optional<Line> take_unended();
  bool has_unended() const { return read_end() > offset_ + unended_ && !inside_line_; }
  // The number of the line that was taken last, from 1.
  int64_t line() const { return lines_ + (unended_ > 0 ? 1 : 0); }

  Mark mark() const { return {offset_, unended_, lines_, inside_line_}; }
  FilePlace place() const { return place_at(mark()); }
  // `mark`: not older than the bytes that forget_taken() left.
  FilePlace place_at(const Mark& mark) const;
  void forget_taken();
  // From the beginning again, as a file whose content is new; what was read is forgotten.
  void restart();

  const std::string& name() const { return place_.name; }
  void set_name(const std::string& name) { place_.name = name; }
  int32_t number() const { return place_.number; }
  void set_number(int32_t number) { place_.number = number; }
  const FileIdentity& identity() const { return place_.identity; }
  void set_identity(const FileIdentity& identity) { place_.identity = identity; }
  int64_t read_end() const { return bytes_begin_ + int64_t(bytes_.size()); }
  int64_t modified_ns() const { return place_.modified_ns; }
  void set_modified_ns(int64_t time_ns) { place_.modified_ns = time_ns; }

 private:
  void set_place(FilePlace place);

  FilePlace place_;  // as it was given, as long as the file was never open
  int descriptor_ = -1;
  bool was_open_ = false;
  std::string bytes_;  // of the file from bytes_begin_ on: some that were taken, and those that were not
  int64_t bytes_begin_ = 0;
  int64_t offset_ = 0, unended_ = 0, lines_ = 0;
  bool inside_line_ = false;
  std::unique_ptr<LineCutter> cutter_;  // has what bytes_ holds from offset_ on
};

}  // namespace coil::sensor
