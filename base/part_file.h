// A file that appears under its name only once it is complete.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace coil {

// Where writing to `path` ends up: the target of its symbolic links, even if that does not exist yet.
std::filesystem::path link_target(const std::filesystem::path& path);

// True for a pipe, or a device such as /dev/null: something that takes bytes and is neither a file, a folder nor a
// disk. Always true for /dev/stdout, so that a file that the shell has opened is not replaced.
bool takes_bytes(const std::filesystem::path& path);

// Opens such a path for writing, and waits until the pipe has a reader. Returns -1 and sets errno on failure.
int open_for_bytes(const std::filesystem::path& path);

// Why an existing file at `path` may not be written to: "is read-only", "is a folder". Empty if it may be written to or
// does not exist.
std::string write_obstacle(const std::filesystem::path& path);

// The name `before` + `name` + `after` in `folder`. If that is longer than the file system allows, `name` is cut and
// gets a hash of the whole name. The result is the same in every run and differs between names.
std::string name_beside(const std::filesystem::path& folder, const std::string& name, std::string_view before,
                        std::string_view after);

// Until commit() the file is called ".NAME.PID-N.part". It lies in the folder of the final file (after following
// links), so that renaming it is atomic. It is locked, so that other processes can tell it from a file that a killed
// process left behind. For a device or a pipe it is a temporary file, which commit() copies. Without commit() it is
// removed. One thread at a time.
class PartFile {
 public:
  // A read-only file is not replaced. The new file gets the permissions of the file that it replaces.
  explicit PartFile(const std::filesystem::path& final_path);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  // False if the file could not be created.
  bool is_open() const { return descriptor_ >= 0; }
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  // False if not everything could be written; error() says why.
  bool write(std::string_view text);
  bool sync();  // makes sure that the data is on the disk
  bool commit();

  // Why the last operation failed, for example "No space left on device".
  const std::string& error() const { return error_; }

  // The common beginning of the names of all part files of this final path.
  static std::string stem_of(const std::filesystem::path& final_path);
  // The same beginning, taken from the name of a part file. Empty if it is not the name of a part file.
  static std::string stem_in(const std::string& part_name);
  // Removes a part file unless a process still writes to it.
  static void remove_if_stale(const std::filesystem::path& part);

 private:
  bool make_beside();
  bool make_temporary();
  bool copy_to_final();
  bool fail(int reason);

  std::filesystem::path final_path_, path_;
  std::string error_;
  int descriptor_ = -1;
  bool is_copied_ = false;  // copied to a device or a pipe instead of renamed
  bool committed_ = false;
};

}  // namespace coil
