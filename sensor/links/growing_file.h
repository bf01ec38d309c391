// Reads a file line by line from any position, while it may grow, shrink or be replaced.
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

// Distinguishes a file from all others that exist at the same time.
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

// How far a file was read, and how to recognise it.
struct FilePlace {
  std::string name;  // the followed name; rotation may have renamed the file since
  FileIdentity identity;
  int64_t offset = 0;        // of the first byte that belongs to no processed record
  int64_t unended = 0;       // this many bytes from there were processed as a last line without a line end
  bool inside_line = false;  // the rest of a line that is too long comes next
  int64_t lines = 0;         // before `offset`
  int32_t number = 0;        // of the file among those of a source
  int64_t modified_ns = 0;   // time of the last check
  uint64_t fingerprint = 0;  // of the last bytes before offset + unended
  bool is_left = false;      // it was read to its end after another file took its name

  int64_t end() const { return offset + unended; }
};

std::string pack(std::span<const FilePlace> places);
std::vector<FilePlace> unpack_places(const std::string& text);  // throws Error

// One thread at a time.
class GrowingFile {
 public:
  // The state after a line.
  struct Mark {
    int64_t offset, unended, lines;
    bool inside_line;
  };
  enum class Found {
    kNothing,  // no new bytes
    kMore,
    kOther  // shorter than before, or other bytes before the position: it was truncated or rewritten
  };

  explicit GrowingFile(FilePlace place);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;

  // A position before which nothing was read.
  static FilePlace place_in(int descriptor, std::string name, int64_t offset);
  // Whether the file contains the bytes that were read before the position.
  static bool holds(int descriptor, const FilePlace& place);

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  // Takes ownership of the descriptor. Returns false, and closes it, if it is not the file of this position, or the
  // preceding bytes differ.
  bool attach(int descriptor);
  // The same at another position; drops everything from the previous one.
  bool resume(FilePlace place, int descriptor);
  void close();

  // Reads a limited amount of new data. Throws Error, without the file's name, if it cannot be read.
  Found read();
  // The next whole line; nullopt: the next read may bring it. A line that was already taken without its end is skipped.
  std::optional<Line> next_line();
  // The text after the last line end, as a line; nullopt: there is none, or it was already taken.
  std::optional<Line> take_unended();
  bool has_unended() const { return read_end() > offset_ + unended_ && !inside_line_; }
  // The number of the last line taken, from 1.
  int64_t line() const { return lines_ + (unended_ > 0 ? 1 : 0); }

  Mark mark() const { return {offset_, unended_, lines_, inside_line_}; }
  FilePlace place() const { return place_at(mark()); }
  // `mark` must not be older than the bytes that forget_taken() kept.
  FilePlace place_at(const Mark& mark) const;
  void forget_taken();
  // Starts again from the beginning, for a file with new content.
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

  FilePlace place_;  // as given, until the file is opened
  int descriptor_ = -1;
  bool was_open_ = false;
  std::string bytes_;  // of the file from bytes_begin_ on, both taken and not taken yet
  int64_t bytes_begin_ = 0;
  int64_t offset_ = 0, unended_ = 0, lines_ = 0;
  bool inside_line_ = false;
  std::unique_ptr<LineCutter> cutter_;  // has received bytes_ from offset_ on
};

}  // namespace coil::sensor
