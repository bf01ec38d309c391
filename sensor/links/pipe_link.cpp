// Reads what is there, writes all that was written at once.
#include "sensor/links/pipe_link.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace coil::sensor {
namespace {

constexpr size_t kReadBytes = 1 << 18;
constexpr size_t kLongestLine = 1 << 20;  // what is beyond is cut off, and the rest is malformed

bool is_ready(int descriptor, int wait_ms) {
  pollfd one = {descriptor, POLLIN, 0};
  return ::poll(&one, 1, wait_ms) > 0;
}

}  // namespace

bool PipeLink::read(std::vector<Message>& messages, std::chrono::milliseconds wait) {
  if (!is_ready(input_, static_cast<int>(wait.count()))) return true;
  const size_t before = text_.size();
  text_.resize(before + kReadBytes);
  const ssize_t got = ::read(input_, text_.data() + before, kReadBytes);
  text_.resize(before + size_t(std::max<ssize_t>(got, 0)));
  if (got < 0) {
    if (errno == EINTR || errno == EAGAIN) return true;
    throw Error(std::string("standard input cannot be read: ") + std::strerror(errno));
  }
  if (got == 0 && !text_.empty()) text_ += '\n';  // the last line may have no end
  cut_lines(messages);
  return got > 0;
}

void PipeLink::cut_lines(std::vector<Message>& messages) {
  size_t begin = 0;
  for (;;) {
    const size_t end = text_.find('\n', std::max(begin, searched_));
    if (end == std::string::npos) break;
    messages.push_back({{}, text_.substr(begin, end - begin), -1, ++lines_});
    messages.back().begins_file = lines_ == 1;
    begin = searched_ = end + 1;
  }
  text_.erase(0, begin);
  if (text_.size() > kLongestLine) text_.resize(kLongestLine);
  searched_ = text_.size();
}

void PipeLink::write(const Message& result) {
  out_ += result.text;
  out_ += '\n';
}

void PipeLink::flush() {
  const char* data = out_.data();
  for (size_t left = out_.size(); left > 0;) {
    const ssize_t written = ::write(output_, data, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw Error(std::string("standard output cannot be written: ") + std::strerror(errno));
    data += written, left -= size_t(written);
  }
  out_.clear();
}

}  // namespace coil::sensor
