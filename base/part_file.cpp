// Part files: made under a free name, locked, renamed or removed.
#include "base/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

namespace coil {
namespace {

constexpr std::string_view kExtension = ".part";
constexpr std::string_view kDigits = "0123456789";

std::atomic<int> counter{0};

bool is_there(int descriptor) {
  struct stat found;
  return ::fstat(descriptor, &found) == 0 && found.st_nlink > 0;
}

}  // namespace

PartFile::PartFile(const std::filesystem::path& final_path) : final_path_(final_path) {
  // The name may be taken by a process of another machine or container, or be left by one, or be taken away before it was locked.
  for (int tries = 0; descriptor_ < 0 && tries < 1000; ++tries) {
    path_ = final_path_.parent_path() / ("." + final_path_.filename().string() + "." + std::to_string(::getpid()) + "-" +
                                         std::to_string(counter++) + std::string(kExtension));
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST) return;
    if (descriptor_ < 0) continue;
    ::flock(descriptor_, LOCK_EX | LOCK_NB);  // where a file system has no locks, nobody can lock to remove either
    if (!is_there(descriptor_)) ::close(std::exchange(descriptor_, -1));
  }
}

PartFile::~PartFile() {
  if (!is_open()) return;
  if (!committed_) ::unlink(path_.c_str());
  ::close(descriptor_);
}

int PartFile::duplicate() const { return ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0); }

bool PartFile::write(std::string_view text) {
  if (!is_open()) return false;
  while (!text.empty()) {
    const ssize_t n = ::write(descriptor_, text.data(), text.size());
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool PartFile::commit() {
  committed_ = is_open() && ::rename(path_.c_str(), final_path_.c_str()) == 0;
  return committed_;
}

std::string PartFile::final_name(const std::string& part_name) {
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

void PartFile::remove_if_stale(const std::filesystem::path& part) {
  const int descriptor = ::open(part.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return;
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(part.c_str());
  ::close(descriptor);
}

}  // namespace coil
