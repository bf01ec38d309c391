// New pieces are written to blocks that no manifest names. The new manifest is written beside the old one and renamed.
#include "sensor/state/state_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/part_file.h"

namespace coil::sensor {
namespace {

constexpr uint64_t kBlockBytes = 512;
constexpr std::string_view kAnyMagic = "coil stream state ";
constexpr std::string_view kMagic = "coil stream state 5\n", kMagicOfVersion4 = "coil stream state 4\n";

uint64_t blocks_of(uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes; }

Error failure(const std::filesystem::path& path, const std::string& what) {
  return Error("'" + path.string() + "': " + what);
}
Error system_failure(const std::filesystem::path& path, const std::string& what) {
  return failure(path, what + ": " + std::strerror(errno));
}

// A descriptor that closes itself.
class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool write_all(int file, const std::byte* data, size_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t written = ::pwrite(file, data, size, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data += written, size -= size_t(written), offset += uint64_t(written);
  }
  return true;
}

bool read_all(int file, std::byte* data, size_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t got = ::pread(file, data, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    data += got, size -= size_t(got), offset += uint64_t(got);
  }
  return true;
}

}  // namespace

StateFile::StateFile(const std::filesystem::path& path, Identity identity, Content& content)
    : path_(link_target(path)), identity_(std::move(identity)) {
  if (path.empty()) {
    std::string name = (std::filesystem::temp_directory_path() / "coil-series-XXXXXX").string();
    blocks_ = ::mkstemp(name.data());
    if (blocks_ < 0) throw system_failure(name, "cannot be made");
    ::unlink(name.c_str());
    return;
  }
  if (const std::string obstacle = write_obstacle(path_); !obstacle.empty()) throw failure(path_, obstacle);
  blocks_path_ = path_.string() + ".series";
  blocks_ = ::open(blocks_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (blocks_ < 0) throw system_failure(blocks_path_, "cannot be opened");
  try {
    if (::flock(blocks_, LOCK_EX | LOCK_NB) != 0) throw failure(path, "is in use by another process");
    load(content);
  } catch (...) {
    ::close(blocks_);
    throw;
  }
}

StateFile::~StateFile() { ::close(blocks_); }

void StateFile::load(Content& content) {
  const File file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    if (errno == ENOENT) return;
    throw system_failure(path_, "cannot be opened");
  }
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  Bytes bytes(size > 0 ? size_t(size) : 0);
  if (!read_all(file.get(), bytes.data(), bytes.size(), 0)) throw system_failure(path_, "cannot be read");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool is_of_version_4 = text.starts_with(kMagicOfVersion4);
  if (!text.starts_with(kMagic) && !is_of_version_4) {
    throw failure(path_, text.starts_with(kAnyMagic)
                             ? "was written by a version of coil whose states this one cannot read; move it and '" +
                                   blocks_path_.filename().string() +
                                   "' away, or name another one with --state: learning starts again"
                             : "is no state file of coil stream");
  }
  if (bytes.size() < kMagic.size() + sizeof(uint64_t)) throw failure(path_, "is damaged: it ends too soon");
  const size_t body = bytes.size() - sizeof(uint64_t);
  ByteReader tail(std::span<const std::byte>(bytes).subspan(body));
  if (tail.value<uint64_t>() != XXH3_64bits(bytes.data(), body))
    throw failure(path_, "is damaged: its checksum is wrong");
  try {
    ByteReader reader(std::span<const std::byte>(bytes).subspan(kMagic.size(), body - kMagic.size()));
    const std::string identity = reader.text();
    const std::string& wanted = is_of_version_4 ? identity_.of_version_4 : identity_.now;
    if (identity != wanted) throw Error("belongs to " + identity + ", not to " + wanted);
    content.position = reader.value<int64_t>();
    content.place = reader.text();
    content.opening.resize(reader.value<uint32_t>());
    for (std::string& line : content.opening) line = reader.text();
    content.pending.resize(reader.value<uint32_t>());
    for (Message& line : content.pending) {
      line.text = reader.text();
      line.offset = reader.value<int64_t>();
      line.file = reader.value<int32_t>();
      line.begins_file = reader.value<bool>(), line.is_known = reader.value<bool>();
    }
    commits_ = reader.value<uint64_t>() + 1;
    const auto count = reader.value<uint64_t>();
    for (uint64_t i = 0; i < count; ++i) {
      std::string key = reader.text();
      Piece piece;
      reader.object(piece);
      content.pieces.emplace_hint(content.pieces.end(), std::move(key), piece);
    }
    for (auto names = reader.value<uint64_t>(); names > 0; --names) content.taken_names.push_back(reader.text());
    if (reader.at_end()) return find_gaps(content);  // written by a version without marks
    for (auto marks = reader.value<uint64_t>(); marks > 0; --marks) {
      std::string key = reader.text();
      reader.object(content.marks[std::move(key)]);
    }
  } catch (const Error& error) {
    throw failure(path_, error.what());
  }
  find_gaps(content);
}

void StateFile::find_gaps(const Content& content) {
  std::vector<std::pair<uint64_t, uint64_t>> used;
  for (const auto& [key, piece] : content.pieces) used.emplace_back(piece.offset / kBlockBytes, blocks_of(piece.bytes));
  std::sort(used.begin(), used.end());
  for (const auto& [first, count] : used) {
    if (first > end_) free_[first - end_].push_back(end_);
    end_ = std::max(end_, first + count);
  }
}

Piece StateFile::write(const Bytes& bytes) {
  Piece piece{0, bytes.size(), XXH3_64bits(bytes.data(), bytes.size()), 0};
  {
    const std::lock_guard lock(mutex_);
    const uint64_t blocks = blocks_of(bytes.size());
    piece.commit = commits_;
    if (const auto found = free_.find(blocks); found != free_.end()) {
      piece.offset = found->second.back() * kBlockBytes;
      found->second.pop_back();
      if (found->second.empty()) free_.erase(found);
    } else {
      piece.offset = end_ * kBlockBytes;
      end_ += blocks;
    }
  }
  if (!write_all(blocks_, bytes.data(), bytes.size(), piece.offset))
    throw system_failure(blocks_path_, "cannot be written");
  return piece;
}

Bytes StateFile::read(const Piece& piece) const {
  Bytes bytes(piece.bytes);
  if (!read_all(blocks_, bytes.data(), bytes.size(), piece.offset))
    throw failure(blocks_path_, "is damaged: it ends too soon");
  if (XXH3_64bits(bytes.data(), bytes.size()) != piece.checksum)
    throw failure(blocks_path_, "is damaged: the checksum of a sensor is wrong");
  return bytes;
}

void StateFile::release(const Piece& piece) noexcept {
  if (piece.bytes == 0) return;
  const std::lock_guard lock(mutex_);
  if (piece.commit == commits_)
    free_[blocks_of(piece.bytes)].push_back(piece.offset / kBlockBytes);
  else
    waiting_.push_back(piece);
}

void StateFile::commit(const Content& content) {
  if (::fdatasync(blocks_) != 0) throw system_failure(blocks_path_, "cannot be written");
  Bytes bytes;
  ByteWriter writer(bytes);
  writer.raw(kMagic.data(), kMagic.size());
  writer.text(identity_.now);
  writer.value(content.position);
  writer.text(content.place);
  writer.value(static_cast<uint32_t>(content.opening.size()));
  for (const std::string& line : content.opening) writer.text(line);
  writer.value(static_cast<uint32_t>(content.pending.size()));
  for (const Message& line : content.pending) {
    writer.text(line.text);
    writer.value(line.offset);
    writer.value(line.file);
    writer.value(line.begins_file), writer.value(line.is_known);
  }
  writer.value(commits_);
  writer.value(static_cast<uint64_t>(content.pieces.size()));
  for (const auto& [key, piece] : content.pieces) writer.text(key), writer.object(piece);
  writer.value(static_cast<uint64_t>(content.taken_names.size()));
  for (const std::string& name : content.taken_names) writer.text(name);
  writer.value(static_cast<uint64_t>(content.marks.size()));
  for (auto& [key, mark] : content.marks) writer.text(key), writer.object(mark);
  writer.value(static_cast<uint64_t>(XXH3_64bits(bytes.data(), bytes.size())));

  const std::filesystem::path part = path_.string() + ".part";
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  {
    const File file(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (file.get() < 0 || !write_all(file.get(), bytes.data(), bytes.size(), 0) || ::fsync(file.get()) != 0) {
      const Error error = system_failure(path_, "cannot be written");
      ::unlink(part.c_str());
      throw error;
    }
  }
  if (::rename(part.c_str(), path_.c_str()) != 0) throw system_failure(path_, "cannot be written");
  const File directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());

  const std::lock_guard lock(mutex_);
  ++commits_;
  for (const Piece& piece : waiting_) free_[blocks_of(piece.bytes)].push_back(piece.offset / kBlockBytes);
  waiting_.clear();
}

}  // namespace coil::sensor
