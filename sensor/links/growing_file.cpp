// Reads data after bytes that must be unchanged, and splits it into lines.
#include "sensor/links/growing_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "sensor/state/bytes.h"

namespace coil::sensor {
namespace {

constexpr int64_t kFingerprintBytes = 1024;
constexpr size_t kReadBytes = 1 << 18;
constexpr int64_t kMostUnended = 1 << 22;  // of a line; longer ones are skipped
constexpr size_t kFirstBytes = 1 << 16;    // that determine encoding and line ends

// Returns fewer bytes than wanted at the end of the file. Returns an empty text and sets errno if it cannot be read.
std::string read_at(int descriptor, int64_t offset, size_t bytes) {
  std::string text(bytes, '\0');
  size_t got = 0;
  errno = 0;
  while (got < bytes) {
    const ssize_t count = ::pread(descriptor, text.data() + got, bytes - got, off_t(offset) + off_t(got));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    got += size_t(count);
  }
  text.resize(got);
  return text;
}

// 0 for no bytes.
uint64_t fingerprint_of(std::string_view bytes) { return bytes.empty() ? 0 : XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace

FileIdentity identity_of(const struct stat& found) { return {uint64_t(found.st_dev), uint64_t(found.st_ino)}; }

int64_t modified_ns(const struct stat& found) {
#ifdef __APPLE__
  return int64_t(found.st_mtimespec.tv_sec) * 1'000'000'000 + found.st_mtimespec.tv_nsec;
#else
  return int64_t(found.st_mtim.tv_sec) * 1'000'000'000 + found.st_mtim.tv_nsec;
#endif
}

std::string pack(std::span<const FilePlace> places) {
  Bytes bytes;
  ByteWriter writer(bytes);
  for (const FilePlace& place : places) {
    writer.text(place.name);
    writer.object(place.identity);
    for (const int64_t value : {place.offset, place.unended, place.lines, place.modified_ns}) writer.value(value);
    writer.value(place.number);
    writer.value(place.fingerprint);
    writer.value(place.inside_line);
    writer.value(place.is_left);
  }
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<FilePlace> unpack_places(const std::string& text) {
  std::vector<FilePlace> places;
  for (ByteReader reader(std::as_bytes(std::span(text))); !reader.at_end();) {
    FilePlace& place = places.emplace_back();
    place.name = reader.text();
    reader.object(place.identity);
    for (int64_t* value : {&place.offset, &place.unended, &place.lines, &place.modified_ns})
      *value = reader.value<int64_t>();
    place.number = reader.value<int32_t>();
    place.fingerprint = reader.value<uint64_t>();
    place.inside_line = reader.value<bool>();
    place.is_left = reader.value<bool>();
  }
  return places;
}

GrowingFile::GrowingFile(FilePlace place) { set_place(std::move(place)); }

void GrowingFile::set_place(FilePlace place) {
  place_ = std::move(place);
  was_open_ = false;
  bytes_.clear();
  bytes_begin_ = place_.end();
  offset_ = place_.offset, unended_ = place_.unended, lines_ = place_.lines, inside_line_ = place_.inside_line;
  cutter_.reset();
}

bool GrowingFile::resume(FilePlace place, int descriptor) {
  place.name = name();
  set_place(std::move(place));
  return attach(descriptor);
}

GrowingFile::~GrowingFile() { close(); }

FilePlace GrowingFile::place_in(int descriptor, std::string name, int64_t offset) {
  FilePlace place;
  place.name = std::move(name);
  const int64_t count = std::min(offset, kFingerprintBytes);
  const std::string before = read_at(descriptor, offset - count, size_t(count));
  if (int64_t(before.size()) < count) return place;  // the file ends before the position
  place.offset = offset;
  place.fingerprint = fingerprint_of(before);
  return place;
}

bool GrowingFile::holds(int descriptor, const FilePlace& place) {
  const int64_t count = std::min(place.end(), kFingerprintBytes);
  const std::string before = read_at(descriptor, place.end() - count, size_t(count));
  return int64_t(before.size()) == count && fingerprint_of(before) == place.fingerprint;
}

bool GrowingFile::attach(int descriptor) {
  close();
  struct stat found;
  if (::fstat(descriptor, &found) != 0 || (!was_open_ && !holds(descriptor, place_))) {
    ::close(descriptor);
    return false;
  }
  descriptor_ = descriptor;
  if (!was_open_) {
    bytes_begin_ = std::min(offset_, std::max<int64_t>(0, read_end() - kFingerprintBytes));
    bytes_ = read_at(descriptor_, bytes_begin_, size_t(place_.end() - bytes_begin_));
    was_open_ = true;
  }
  if (!cutter_) {
    cutter_ = std::make_unique<LineCutter>(read_at(descriptor_, 0, std::min(size_t(offset_), kFirstBytes)), offset_,
                                           inside_line_);
    cutter_->add(std::string_view(bytes_).substr(size_t(offset_ - bytes_begin_)));
  }
  place_.identity = identity_of(found);
  return true;
}

void GrowingFile::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

GrowingFile::Found GrowingFile::read() {
  const size_t overlap = std::min(bytes_.size(), size_t(kFingerprintBytes));
  const std::string got = read_at(descriptor_, read_end() - int64_t(overlap), overlap + kReadBytes);
  if (got.empty() && errno != 0) throw Error(std::string("cannot be read: ") + std::strerror(errno));
  if (got.size() < overlap || got.compare(0, overlap, bytes_, bytes_.size() - overlap, overlap) != 0)
    return Found::kOther;
  bytes_.append(got, overlap);
  cutter_->add(std::string_view(got).substr(overlap));
  return got.size() > overlap ? Found::kMore : Found::kNothing;
}

std::optional<Line> GrowingFile::next_line() {
  for (Line line; cutter_->next(line);) {
    const std::string_view behind = std::string_view(bytes_).substr(size_t(offset_ + unended_ - bytes_begin_),
                                                                    size_t(line.end_byte - offset_ - unended_));
    const bool is_known =
        unended_ > 0 && behind.find_first_not_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
    offset_ = line.end_byte;
    unended_ = 0, inside_line_ = false, ++lines_;
    if (!is_known) return line;
  }
  if (read_end() - offset_ > kMostUnended)
    offset_ = read_end(), unended_ = 0, inside_line_ = true;  // so that it needs no memory
  return std::nullopt;
}

std::optional<Line> GrowingFile::take_unended() {
  if (!has_unended()) return std::nullopt;
  LineCutter ended = *cutter_;
  Line line;
  if (!ended.next(line, true)) return std::nullopt;
  unended_ = read_end() - offset_;
  return line;
}

FilePlace GrowingFile::place_at(const Mark& mark) const {
  FilePlace place = place_;
  if (!was_open_) return place;
  place.offset = mark.offset, place.unended = mark.unended, place.lines = mark.lines,
  place.inside_line = mark.inside_line;
  const int64_t count = std::min(place.end(), kFingerprintBytes);
  place.fingerprint =
      fingerprint_of(std::string_view(bytes_).substr(size_t(place.end() - count - bytes_begin_), size_t(count)));
  return place;
}

void GrowingFile::forget_taken() {
  const int64_t kept_from = std::clamp(offset_ - kFingerprintBytes, bytes_begin_, offset_);
  bytes_.erase(0, size_t(kept_from - bytes_begin_));
  bytes_begin_ = kept_from;
}

void GrowingFile::restart() {
  FilePlace place;
  place.name = name(), place.identity = identity(), place.modified_ns = modified_ns(), place.number = number();
  set_place(std::move(place));
  was_open_ = is_open();
  if (was_open_) cutter_ = std::make_unique<LineCutter>();
}

}  // namespace coil::sensor
