// Part files: created under an unused name, locked, then renamed or removed.
#include "base/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace coil {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kExtension = ".part";
constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kLongestNumbers = ".4294967295-4294967295.part";  // the longest possible end of a part
                                                                             // file's name
constexpr int kMostLinks = 40;                                               // the limit of Linux
constexpr const char* kStandardOutput = "/dev/stdout";
constexpr mode_t kAnybodyWrites = S_IWUSR | S_IWGRP | S_IWOTH;

std::atomic<int> counter{0};

bool is_there(int descriptor) {
  struct stat found;
  return ::fstat(descriptor, &found) == 0 && found.st_nlink > 0;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(descriptor, text.data(), text.size());
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

fs::path link_target(const fs::path& path) {
  fs::path target = path;
  std::error_code error;
  for (int links = 0; links < kMostLinks && fs::is_symlink(target, error); ++links) {
    const fs::path next = fs::read_symlink(target, error);
    if (error) break;
    target = next.is_absolute() ? next : target.parent_path() / next;
  }
  return target;
}

std::string name_beside(const fs::path& folder, const std::string& name, std::string_view before,
                        std::string_view after) {
  constexpr size_t kUsualLimit = 255, kHashDigits = 16;
  const long limit = ::pathconf(folder.empty() ? "." : folder.c_str(), _PC_NAME_MAX);
  const size_t most = limit > 0 ? static_cast<size_t>(limit) : kUsualLimit, added = before.size() + after.size();
  const size_t room = most > added ? most - added : 0;
  std::string middle = name;
  if (name.size() > room) {
    char hash[kHashDigits + 2];
    std::snprintf(hash, sizeof hash, "~%016llx",
                  static_cast<unsigned long long>(XXH3_64bits(name.data(), name.size())));
    size_t kept = room > kHashDigits + 1 ? room - kHashDigits - 1 : 0;
    while (kept > 0 && (name[kept] & 0xc0) == 0x80) --kept;  // do not cut a UTF-8 character in two
    middle = name.substr(0, kept) + hash;
  }
  return std::string(before) + middle + std::string(after);
}

bool takes_bytes(const fs::path& path) {
  if (path == kStandardOutput) return true;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  return fs::is_fifo(status) || fs::is_character_file(status) || fs::is_socket(status);
}

int open_for_bytes(const fs::path& path) {
  if (path == kStandardOutput) return ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  return ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

std::string write_obstacle(const fs::path& path) {
  struct stat found;
  if (::stat(path.c_str(), &found) != 0) return {};
  if (S_ISDIR(found.st_mode)) return "is a folder";
  if (!S_ISREG(found.st_mode)) return "is not a file";
  // An administrator may write to any file. A file without any write permission is meant to be kept.
  const bool is_writable = (found.st_mode & kAnybodyWrites) != 0 && ::access(path.c_str(), W_OK) == 0;
  return is_writable ? "" : "is read-only";
}

PartFile::PartFile(const fs::path& final_path) : final_path_(final_path) {
  is_copied_ = takes_bytes(final_path);
  if (is_copied_ ? !make_temporary() : !make_beside()) descriptor_ = -1;
}

bool PartFile::make_beside() {
  final_path_ = link_target(final_path_);
  std::error_code ignored;
  if (fs::is_symlink(final_path_, ignored)) return fail(ELOOP);
  error_ = write_obstacle(final_path_);
  if (!error_.empty()) return false;
  const std::string stem = stem_of(final_path_);
  // Another process, perhaps on another machine, may hold the name, may have left it behind, or may remove the file
  // before it is locked here.
  for (int tries = 0; descriptor_ < 0 && tries < 1000; ++tries) {
    path_ = final_path_.parent_path() /
            ("." + stem + "." + std::to_string(::getpid()) + "-" + std::to_string(counter++) + std::string(kExtension));
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST) return fail(errno);
    if (descriptor_ < 0) continue;
    ::flock(descriptor_, LOCK_EX | LOCK_NB);  // on a file system without locks, no other process can lock the file in
                                              // order to remove it
    if (!is_there(descriptor_)) ::close(std::exchange(descriptor_, -1));
  }
  if (descriptor_ < 0) return fail(EEXIST);
  struct stat old;
  if (::stat(final_path_.c_str(), &old) == 0) [[maybe_unused]]
    const int ignored = ::fchmod(descriptor_, old.st_mode & 0777);
  return true;
}

bool PartFile::make_temporary() {
  std::error_code error;
  std::string name = (fs::temp_directory_path(error) / "coil-XXXXXX").string();
  descriptor_ = ::mkstemp(name.data());
  path_ = name;
  return descriptor_ >= 0 || fail(errno);
}

PartFile::~PartFile() {
  if (!is_open()) return;
  if (!committed_) ::unlink(path_.c_str());
  ::close(descriptor_);
}

bool PartFile::fail(int reason) {
  error_ = std::strerror(reason);
  return false;
}

bool PartFile::write(std::string_view text) { return is_open() && (write_all(descriptor_, text) || fail(errno)); }

bool PartFile::sync() { return is_open() && (::fsync(descriptor_) == 0 || fail(errno)); }

bool PartFile::commit() {
  if (!is_open()) return false;
  if (is_copied_) return copy_to_final();
  committed_ = ::rename(path_.c_str(), final_path_.c_str()) == 0;
  return committed_ || fail(errno);
}

bool PartFile::copy_to_final() {
  const int to = open_for_bytes(final_path_);
  if (to < 0) return fail(errno);
  std::vector<char> block(1 << 16);
  ssize_t n = ::lseek(descriptor_, 0, SEEK_SET) == 0 ? 1 : -1;
  while (n > 0) {
    n = ::read(descriptor_, block.data(), block.size());
    if (n > 0 && !write_all(to, {block.data(), static_cast<size_t>(n)})) n = -1;
  }
  const int reason = errno;
  const bool closed = ::close(to) == 0;
  return n == 0 ? closed || fail(errno) : fail(reason);
}

std::string PartFile::stem_of(const fs::path& final_path) {
  const std::string longest = name_beside(folder_of(final_path), final_path.filename().string(), ".", kLongestNumbers);
  return longest.substr(1, longest.size() - 1 - kLongestNumbers.size());
}

std::string PartFile::stem_in(const std::string& part_name) {
  std::string_view name = part_name;
  if (!name.starts_with('.') || !name.ends_with(kExtension)) return {};
  name.remove_prefix(1);
  name.remove_suffix(kExtension.size());
  for (const char before : {'-', '.'}) {
    const size_t digits = name.find_last_not_of(kDigits);
    if (digits == std::string_view::npos || digits + 1 == name.size() || name[digits] != before) return {};
    name = name.substr(0, digits);
  }
  return std::string(name);
}

void PartFile::remove_if_stale(const fs::path& part) {
  const int descriptor = ::open(part.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(part.c_str());
  ::close(descriptor);
}

}  // namespace coil
