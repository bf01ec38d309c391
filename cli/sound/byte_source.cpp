// Byte sources: pread() for files, poll() and read() for pipes.
#include "cli/sound/byte_source.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "cli/failure.h"
#include "cli/interrupt.h"

namespace coil::cli {

void wait_for(int descriptor, short events) {
  pollfd waiting = {descriptor, events, 0};
  for (;;) {
    throw_if_interrupted();
    // With a time limit, because the signal may arrive between the check and the call.
    const int ready = poll(&waiting, 1, 200);
    if (ready > 0 || (ready < 0 && errno != EINTR)) return;
  }
}

size_t MemoryBytes::read_at(uint64_t at, std::span<uint8_t> out) {
  if (at >= bytes_.size()) return 0;
  const size_t count = std::min<uint64_t>(out.size(), bytes_.size() - at);
  std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at), count, out.begin());
  return count;
}

FileBytes::FileBytes(int descriptor, std::string name) : descriptor_(descriptor), name_(std::move(name)) {
  struct stat found = {};
  if (::fstat(descriptor_, &found) == 0) size_ = static_cast<uint64_t>(found.st_size);
}

FileBytes::~FileBytes() { ::close(descriptor_); }

size_t FileBytes::read_at(uint64_t at, std::span<uint8_t> out) {
  throw_if_interrupted();
  size_t done = 0;
  while (done < out.size() && at + done < size_) {
    const ssize_t n = ::pread(descriptor_, out.data() + done, out.size() - done, static_cast<off_t>(at + done));
    if (n == 0) break;
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      throw Failure(kFailed, name_ + ": reading failed: " + std::strerror(errno));
    }
  }
  return done;
}

void PartsOfBytes::add(uint64_t at, uint64_t count) {
  if (count > 0) parts_.push_back({at, size().value() + count});
}

size_t PartsOfBytes::read_at(uint64_t at, std::span<uint8_t> out) {
  size_t done = 0;
  auto part = std::upper_bound(parts_.begin(), parts_.end(), at, [](uint64_t a, const Part& b) { return a < b.end; });
  for (; part != parts_.end() && done < out.size(); ++part) {
    const uint64_t begin = part == parts_.begin() ? 0 : std::prev(part)->end, into = at + done - begin;
    const size_t wanted = std::min<uint64_t>(out.size() - done, part->end - begin - into);
    const size_t got = source_->read_at(part->at + into, out.subspan(done, wanted));
    done += got;
    if (got < wanted) break;
  }
  return done;
}

PipeBytes::~PipeBytes() {
  if (close_it_) ::close(descriptor_);
}

// Returns false at the pipe's end.
bool PipeBytes::read_more(uint64_t count) {
  if (kept_.size() > 2 * most_kept_) {
    const size_t surplus = kept_.size() - most_kept_;
    kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(surplus));
    kept_from_ += surplus;
  }
  const size_t before = kept_.size();
  kept_.resize(before + static_cast<size_t>(std::min<uint64_t>(count, kLittle)));
  for (;;) {
    wait_for(descriptor_, POLLIN);
    const ssize_t n = ::read(descriptor_, kept_.data() + before, kept_.size() - before);
    if (n >= 0) {
      kept_.resize(before + static_cast<size_t>(n));
      return n > 0;
    }
    if (errno != EINTR && errno != EAGAIN) throw Failure(kFailed, name_ + ": reading failed: " + std::strerror(errno));
  }
}

size_t PipeBytes::read_at(uint64_t at, std::span<uint8_t> out) {
  if (at < kept_from_) return 0;
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t wanted = at + done;
    if (wanted < read_until()) {
      const size_t count = static_cast<size_t>(std::min<uint64_t>(out.size() - done, read_until() - wanted));
      std::copy_n(kept_.begin() + static_cast<std::ptrdiff_t>(wanted - kept_from_), count,
                  out.begin() + static_cast<std::ptrdiff_t>(done));
      done += count;
    } else if (!read_more(wanted - read_until() + out.size() - done)) {
      break;
    }
  }
  return done;
}

}  // namespace coil::cli
