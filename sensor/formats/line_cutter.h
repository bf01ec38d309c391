// Splits a byte stream into lines of UTF-8, for any line ends and encodings, and gives the byte position after each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sensor/records/message.h"

namespace coil::sensor {

inline constexpr size_t kLongestLine = 1 << 20;

struct Line {
  std::string text;          // UTF-8, without its line end
  int64_t end_byte = 0;      // position in the stream after the line end
  bool is_too_long = false;  // longer than kLongestLine: the whole text is left out
  bool has_end = true;       // false: the stream ended inside the line
};

// Line ends are LF or CR LF. If the first one is a lone CR, all three are line ends. A byte order mark is removed.
// UTF-16 is detected by it, or by a zero byte beside the first character. Lines do not depend on how the bytes are
// split into calls. One thread at a time.
class LineCutter {
 public:
  // `begin_byte`: the position of the first of these bytes in the stream; only position 0 can have a byte order mark.
  explicit LineCutter(int64_t begin_byte = 0) : position_(begin_byte), is_begin_(begin_byte == 0) {}

  // Starts in the middle of a file, after these first bytes, which determine the encoding and the line ends.
  // `inside_line`: inside a line that is too long.
  LineCutter(std::string_view first_bytes, int64_t begin_byte, bool inside_line);

  void add(std::string_view bytes) { raw_ += bytes; }
  // Returns whether there is another line. `at_end`: no bytes will follow, so text without a line end is a line too.
  bool next(Line& line, bool at_end = false);

 private:
  enum class Encoding : uint8_t { kUtf8, kUtf16Le, kUtf16Be };

  bool find_encoding(bool at_end);
  bool find_end(bool at_end, size_t& end, size_t& after);
  bool find_first_end(bool at_end, size_t& end, size_t& after);
  size_t find_sign(char sign, size_t from) const;
  char sign_at(size_t at) const;
  size_t width() const { return encoding_ == Encoding::kUtf8 ? 1 : 2; }
  void consume(size_t bytes);
  std::string decoded(std::string_view bytes) const;

  std::string raw_;
  size_t begin_ = 0;       // everything before was returned
  size_t searched_ = 0;    // no line end before this
  int64_t position_;       // of raw_[begin_] in the stream
  bool is_begin_;          // at the start of the stream, before the encoding is known
  bool dropping_ = false;  // inside a line that is too long
  char end_sign_ = 0;      // 0: no line has ended yet
  Encoding encoding_ = Encoding::kUtf8;
};

// `number`: of the line, from 1. [any thread]
Message as_message(Line line, int64_t number);

}  // namespace coil::sensor
