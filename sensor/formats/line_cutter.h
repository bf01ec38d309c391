// Lines from a stream of bytes: whatever their ends and encoding are, as UTF-8 and with the place where each ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sensor/records/message.h"

namespace coil::sensor {

inline constexpr size_t kLongestLine = 1 << 20;

struct Line {
  std::string text;          // UTF-8, without its end
  int64_t end_byte = 0;      // in the stream, behind the end of the line
  bool is_too_long = false;  // longer than kLongestLine: the text is left out as a whole
  bool has_end = true;       // false: the stream ended inside of the line
};

// Ends are LF or CR LF; where the first end is a lone CR, all three are ends. A byte order mark is taken off; UTF-16 is
// told by it, or by the zero byte beside the first sign. Lines do not depend on how the bytes are cut into calls. One
// thread at a time.
class LineCutter {
 public:
  // `begin_byte`: where in the stream the first of these bytes lies; a stream that is entered in its middle has no byte
  // order mark.
  explicit LineCutter(int64_t begin_byte = 0) : position_(begin_byte), is_begin_(begin_byte == 0) {}

  // One that enters a file at a byte behind these first ones, which say how it is written. `inside_line`: of a line
  // that is too long.
  LineCutter(std::string_view first_bytes, int64_t begin_byte, bool inside_line);

  void add(std::string_view bytes) { raw_ += bytes; }
  // Whether there is a further line. `at_end`: no bytes will follow, so what has no end is a line too.
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
  size_t begin_ = 0;       // what lies before has been handed out
  size_t searched_ = 0;    // up to here there is no end
  int64_t position_;       // of raw_[begin_] in the stream
  bool is_begin_;          // of the stream: the encoding is not known yet
  bool dropping_ = false;  // inside of a line that is too long
  char end_sign_ = 0;      // 0: no line has ended yet
  Encoding encoding_ = Encoding::kUtf8;
};

// `number`: of the line, from 1. [any thread]
Message as_message(Line line, int64_t number);

}  // namespace coil::sensor
