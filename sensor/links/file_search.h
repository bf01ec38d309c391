// Finding files by name, by what they are, and under the names that rotation gives them.
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

// A name, if there is a regular file of it.
std::optional<FoundFile> find_file(const std::string& name);

// Whether it is meant for several files: a folder, or a pattern that is no file's name itself.
bool is_group(const std::string& name);
// Regular files in the folder and all below it, or that the pattern matches. Hidden ones are left out, and so are
// compressed ones, which are counted.
std::vector<FoundFile> find_group(const std::string& name, size_t& compressed);
// Whether a group that was asked for holds this name.
bool is_in_group(const std::string& group, const std::string& name);
bool is_compressed(const std::string& name);

// The file in the folder of `name` that has this inode, whatever it is called now.
std::optional<FoundFile> find_by_inode(const std::string& name, uint64_t inode);
// Whether rotation may have made the one name of the other: name.1, name-20260131; of f.csv also f-20260131.csv,
// f.1.csv.
bool is_rotated(const std::string& name, const std::string& of);
// Files whose names rotation may have made of this one; the one changed first comes first.
std::vector<FoundFile> find_rotated(const std::string& name);
// Likewise those of them that gzip has compressed.
std::vector<FoundFile> find_rotated_gzip(const std::string& name);

}  // namespace coil::sensor
