// A file that takes its name only when it is complete.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace coil {

// Where writing to `path` ends up: what its symbolic links lead to, whether or not anything is there yet.
std::filesystem::path link_target(const std::filesystem::path& path);

// Whether `path` leads to something that is no file and no folder, and takes bytes: a pipe, or a device such as
// /dev/null. Not a disk. /dev/stdout is one whatever it leads to, so that a file that the shell has opened is not
// replaced.
bool takes_bytes(const std::filesystem::path& path);

// Opens such a path for writing, and waits for a pipe's reader; -1 with errno set.
int open_for_bytes(const std::filesystem::path& path);

// Why an existing file at `path` may not be written to: "is read-only", "is a folder"; empty: it may, or nothing is
// there.
std::string write_obstacle(const std::filesystem::path& path);

// The name `before` + `name` + `after` in `folder`. Where that is longer than the file system allows, `name` is cut and
// a hash of the whole of it added: the same in every run, and different for every name.
std::string name_beside(const std::filesystem::path& folder, const std::string& name, std::string_view before,
                        std::string_view after);

// Until commit() the file is ".NAME.PID-N.part" in the folder of what the final path's links lead to, so that renaming
// it is atomic, and locked, so that other processes can tell it from one that a killed process left behind. A device or
// a pipe has no such folder: there the file is a temporary one, which commit() copies. Without commit() it is removed.
// One thread at a time.
class PartFile {
 public:
  // An existing file that may not be written to is not replaced; else the new file gets its permissions.
  explicit PartFile(const std::filesystem::path& final_path);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  // Whether the file could be made.
  bool is_open() const { return descriptor_ >= 0; }
  const std::filesystem::path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

  // False: could not be done whole; error() says why.
  bool write(std::string_view text);
  bool sync();  // what was written is on the disk
  bool commit();

  // Why what was last asked for could not be done: "No space left on device".
  const std::string& error() const { return error_; }

  // What the names of part files of this final path have in common.
  static std::string stem_of(const std::filesystem::path& final_path);
  // The same, from the name of a part file; empty if it is not one's.
  static std::string stem_in(const std::string& part_name);
  // Removes a part file that nobody writes to any more.
  static void remove_if_stale(const std::filesystem::path& part);

 private:
  bool make_beside();
  bool make_temporary();
  bool copy_to_final();
  bool fail(int reason);

  std::filesystem::path final_path_, path_;
  std::string error_;
  int descriptor_ = -1;
  bool is_copied_ = false;  // to a device or a pipe, in place of being renamed
  bool committed_ = false;
};

}  // namespace coil
