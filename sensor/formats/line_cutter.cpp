// Determines the encoding from the first bytes, and the kind of line end from the first line end.
#include "sensor/formats/line_cutter.h"

#include <algorithm>

#include "sensor/formats/utf8.h"

namespace coil::sensor {

LineCutter::LineCutter(std::string_view first_bytes, int64_t begin_byte, bool inside_line)
    : position_(begin_byte), is_begin_(begin_byte == 0), dropping_(inside_line) {
  if (is_begin_) return;
  LineCutter probe;
  probe.add(first_bytes);
  Line line;
  probe.next(line);
  encoding_ = probe.encoding_, end_sign_ = probe.end_sign_;
}

bool LineCutter::find_encoding(bool at_end) {
  const std::string_view bytes = std::string_view(raw_).substr(begin_);
  if (bytes.size() < 3 && !at_end) return false;
  size_t mark = 0;
  if (bytes.starts_with("\xef\xbb\xbf"))
    mark = 3;
  else if (bytes.starts_with("\xff\xfe"))
    mark = 2, encoding_ = Encoding::kUtf16Le;
  else if (bytes.starts_with("\xfe\xff"))
    mark = 2, encoding_ = Encoding::kUtf16Be;
  else if (bytes.size() >= 2 && bytes[0] != 0 && bytes[1] == 0)
    encoding_ = Encoding::kUtf16Le;
  else if (bytes.size() >= 2 && bytes[0] == 0 && bytes[1] != 0)
    encoding_ = Encoding::kUtf16Be;
  is_begin_ = false;
  consume(mark);
  searched_ = begin_;
  return true;
}

void LineCutter::consume(size_t bytes) {
  begin_ += bytes;
  position_ += static_cast<int64_t>(bytes);
  if (begin_ == raw_.size() || begin_ > kLongestLine) {
    raw_.erase(0, begin_);
    searched_ -= std::min(searched_, begin_);
    begin_ = 0;
  }
}

char LineCutter::sign_at(size_t at) const {
  if (encoding_ == Encoding::kUtf8) return raw_[at];
  const char low = raw_[at + (encoding_ == Encoding::kUtf16Be)], high = raw_[at + (encoding_ == Encoding::kUtf16Le)];
  return high == 0 ? low : '?';
}

// The first `sign` at a character boundary; npos: none.
size_t LineCutter::find_sign(char sign, size_t from) const {
  if (encoding_ == Encoding::kUtf8) return raw_.find(sign, from);
  for (size_t at = from; at + 1 < raw_.size(); at += 2) {
    if (sign_at(at) == sign) return at;
  }
  return std::string::npos;
}

// Finds the first line end, which determines the kind of all line ends.
bool LineCutter::find_first_end(bool at_end, size_t& end, size_t& after) {
  const size_t feed = find_sign('\n', searched_), carriage = find_sign('\r', searched_);
  if (carriage != std::string::npos && (feed == std::string::npos || carriage < feed)) {
    if (carriage + 2 * width() > raw_.size() && !at_end) return false;  // a line feed may follow
    if (feed != carriage + width())
      end_sign_ = '\r';
    else
      end_sign_ = '\n';
    end = carriage, after = end_sign_ == '\r' ? carriage + width() : feed + width();
    return true;
  }
  if (feed == std::string::npos) {
    searched_ = begin_ + (raw_.size() - begin_) / width() * width();
    return false;
  }
  end_sign_ = '\n';
  end = feed, after = feed + width();
  return true;
}

bool LineCutter::find_end(bool at_end, size_t& end, size_t& after) {
  searched_ = std::max(searched_, begin_);
  if (end_sign_ == 0) return find_first_end(at_end, end, after);
  end = find_sign(end_sign_, searched_);
  // In a file with carriage returns as line ends, a part with line feeds may have been appended.
  if (end_sign_ == '\r') end = std::min(end, find_sign('\n', searched_));
  if (end == std::string::npos) {
    searched_ = begin_ + (raw_.size() - begin_) / width() * width();
    return false;
  }
  after = end + width();
  if (end_sign_ == '\r' && sign_at(end) == '\r') {
    if (after + width() > raw_.size() && !at_end) return false;  // a line feed may follow
    if (after + width() <= raw_.size() && sign_at(after) == '\n') after += width();
  }
  if (end_sign_ == '\n' && end >= begin_ + width() && sign_at(end - width()) == '\r') end -= width();
  return true;
}

bool LineCutter::next(Line& line, bool at_end) {
  if (is_begin_ && !find_encoding(at_end)) return false;
  for (size_t end = 0, after = 0;;) {
    const bool has_end = find_end(at_end, end, after);
    if (!has_end) {
      const size_t left = raw_.size() - begin_;
      if (left > kLongestLine * width() && !at_end) {
        // A carriage return at the end may be half of a line end.
        const size_t kept = std::min(left, 2 * width() + left % width());
        dropping_ = true;
        consume(left - kept);
        searched_ = begin_;
        return false;
      }
      if (!at_end || (left == 0 && !dropping_)) return false;
      end = after = raw_.size();
    }
    line.has_end = has_end;
    line.is_too_long = dropping_ || end - begin_ > kLongestLine * width();
    if (line.is_too_long)
      line.text.clear();
    else if (encoding_ == Encoding::kUtf8)
      line.text.assign(raw_, begin_, end - begin_);
    else
      line.text = decoded(std::string_view(raw_).substr(begin_, end - begin_));
    dropping_ = false;
    consume(after - begin_);
    line.end_byte = position_;
    return true;
  }
}

std::string LineCutter::decoded(std::string_view bytes) const {
  constexpr uint32_t kReplacement = 0xfffd;
  std::string text;
  const size_t low = encoding_ == Encoding::kUtf16Be, high = 1 - low;
  const auto unit = [&](size_t at) {
    return uint32_t(static_cast<unsigned char>(bytes[at + low])) |
           uint32_t(static_cast<unsigned char>(bytes[at + high])) << 8;
  };
  for (size_t at = 0; at + 1 < bytes.size(); at += 2) {
    uint32_t point = unit(at);
    if (point >= 0xd800 && point < 0xdc00 && at + 3 < bytes.size() && unit(at + 2) >= 0xdc00 && unit(at + 2) < 0xe000) {
      point = 0x10000 + ((point - 0xd800) << 10) + (unit(at + 2) - 0xdc00);
      at += 2;
    } else if (point >= 0xd800 && point < 0xe000) {
      point = kReplacement;
    }
    append_utf8(text, point);
  }
  if (bytes.size() % 2 != 0) append_utf8(text, kReplacement);
  return text;
}

Message as_message(Line line, int64_t number) {
  Message message = {{}, std::move(line.text), -1, number};
  if (line.is_too_long)
    message.trouble = "the line is longer than " + std::to_string(kLongestLine >> 20) + " MiB and left out as a whole";
  message.begins_file = number == 1;
  return message;
}

}  // namespace coil::sensor
