// Reads available data, and writes all buffered text at once.
#include "sensor/links/pipe.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace coil::sensor {
namespace {

constexpr size_t kReadBytes = 1 << 18;

bool is_ready(int descriptor, int wait_ms) {
  pollfd one = {descriptor, POLLIN, 0};
  return ::poll(&one, 1, wait_ms) > 0;
}

}  // namespace

PipeSource::~PipeSource() { ::close(descriptor_); }

bool PipeSource::read(std::vector<Message>& messages, std::chrono::milliseconds wait) {
  if (!is_ready(descriptor_, static_cast<int>(wait.count()))) return true;
  bytes_.resize(kReadBytes);
  const ssize_t got = ::read(descriptor_, bytes_.data(), bytes_.size());
  if (got < 0) {
    if (errno == EINTR || errno == EAGAIN) return true;
    throw Error(std::string("standard input cannot be read: ") + std::strerror(errno));
  }
  cutter_.add({bytes_.data(), size_t(got)});
  for (Line line; cutter_.next(line, got == 0);) {
    messages.push_back(as_message(std::move(line), ++lines_));
  }
  return got > 0;
}

void PipeSink::flush() {
  const char* data = out_.data();
  for (size_t left = out_.size(); left > 0;) {
    const ssize_t written = ::write(descriptor_, data, left);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw Error(std::string("standard output cannot be written: ") + std::strerror(errno));
    data += written, left -= size_t(written);
  }
  out_.clear();
}

}  // namespace coil::sensor
