// No input is replaced, and no two outputs are one file, also where a file system takes "A.wav" and "a.wav" for one
// name.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace coil::cli {

// Whether `a` and `b`, paths below `folder`, are one file there. [main-thread]
using SameFile = std::function<bool(const std::filesystem::path& folder, const std::filesystem::path& a,
                                    const std::filesystem::path& b)>;

// By trying it out with names like these, in a folder of its own that is gone afterwards. [main-thread]
bool is_same_file(const std::filesystem::path& folder, const std::filesystem::path& a, const std::filesystem::path& b);

// Of inputs and the outputs that they become. `is_same` is asked only about names that differ in nothing but case.
// Throws Failure. [main-thread]
void check_output_names(const std::vector<std::pair<std::filesystem::path, std::filesystem::path>>& files,
                        const SameFile& is_same = is_same_file);

}  // namespace coil::cli
