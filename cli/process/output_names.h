// Checks that no input is replaced and no two outputs are the same file, also on file systems that ignore case.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace coil::cli {

// Whether `a` and `b`, paths below `folder`, are the same file there. [main-thread]
using SameFile = std::function<bool(const std::filesystem::path& folder, const std::filesystem::path& a,
                                    const std::filesystem::path& b)>;

// Tests this with similar names in a temporary folder. [main-thread]
bool is_same_file(const std::filesystem::path& folder, const std::filesystem::path& a, const std::filesystem::path& b);

// For pairs of input and output. `is_same` is called only for names that differ only in case. Throws Failure.
// [main-thread]
void check_output_names(const std::vector<std::pair<std::filesystem::path, std::filesystem::path>>& files,
                        const SameFile& is_same = is_same_file);

}  // namespace coil::cli
