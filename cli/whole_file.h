// Writes a whole file: it appears complete, or stays as it was.
#pragma once

#include <filesystem>
#include <string_view>

namespace coil::cli {

// Throws Failure and Interrupted. [any thread]
void write_whole_file(const std::filesystem::path& path, std::string_view content);

}  // namespace coil::cli
