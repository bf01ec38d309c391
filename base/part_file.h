// A file that takes its name only when it is complete.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace coil {

// Until commit() the file is ".NAME.PID-N.part" in the same folder, so that renaming it is atomic, and locked, so that other processes can
// tell it from one that a killed process left behind. Without commit() it is removed. One thread at a time.
class PartFile {
 public:
  explicit PartFile(const std::filesystem::path& final_path);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  // Valid if the file could be made; else errno says why not.
  bool is_open() const { return descriptor_ >= 0; }
  const std::filesystem::path& path() const { return path_; }
  // Another descriptor of the file, for whoever closes it; -1 with errno set.
  int duplicate() const;

  bool write(std::string_view text);  // false, with errno set, when it cannot be written whole
  bool commit();                      // false, with errno set, when it cannot be renamed

  // The name that the part file of this name would take; empty if it is not one's.
  static std::string final_name(const std::string& part_name);
  // Removes a part file that nobody writes to any more.
  static void remove_if_stale(const std::filesystem::path& part);

 private:
  std::filesystem::path final_path_, path_;
  int descriptor_ = -1;
  bool committed_ = false;
};

}  // namespace coil
