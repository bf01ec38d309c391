// Finds files by name, by identity, and under the names that log rotation gives them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sensor/links/growing_file.h"

namespace coil::sensor {

struct FoundFile {
  std::string name;
  FileIdentity identity;
  int64_t modified_ns = 0, bytes = 0;
};

// The regular file of this name, if there is one.
std::optional<FoundFile> find_file(const std::string& name);

// Whether the name means several files: a folder, or a pattern that is not itself the name of a file.
bool is_group(const std::string& name);
// Regular files in the folder and all below it, or that match the pattern. Hidden files are left out; so are compressed
// ones, which are counted.
std::vector<FoundFile> find_group(const std::string& name, size_t& compressed);
// Whether the group includes this name.
bool is_in_group(const std::string& group, const std::string& name);
bool is_compressed(const std::string& name);

// The file with this inode in the folder of `name`, under any name.
std::optional<FoundFile> find_by_inode(const std::string& name, uint64_t inode);
// Whether log rotation may have made `name` from `of`: name.1, name-20260131; for f.csv also f-20260131.csv, f.1.csv.
bool is_rotated(const std::string& name, const std::string& of);
// Files that rotation may have made from this one, in the order of their last change.
std::vector<FoundFile> find_rotated(const std::string& name);
// The same for files that were compressed by gzip.
std::vector<FoundFile> find_rotated_gzip(const std::string& name);

}  // namespace coil::sensor
