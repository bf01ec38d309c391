// A file that takes its name only when it is complete.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string>

namespace coil::cli {

// Write to path(), then commit(); otherwise what was written is removed. One thread at a time.
class PartFile {
 public:
  explicit PartFile(const std::filesystem::path& final_path) : final_path_(final_path), path_(beside(final_path)) {}
  ~PartFile() {
    if (!committed_) ::unlink(path_.c_str());
  }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // False, with errno set, when the file cannot be renamed.
  bool commit() {
    committed_ = ::rename(path_.c_str(), final_path_.c_str()) == 0;
    return committed_;
  }

 private:
  // In the same folder, so that renaming is atomic; a name that no other process or thread uses.
  static std::filesystem::path beside(const std::filesystem::path& path) {
    static std::atomic<int> counter{0};
    return path.parent_path() /
           ("." + path.filename().string() + "." + std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".part");
  }

  std::filesystem::path final_path_, path_;
  bool committed_ = false;
};

}  // namespace coil::cli
