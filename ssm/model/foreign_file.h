// What a file is that was taken for a model: told by its first bytes, so that the reader learns what to do instead.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace coil::ssm {

// For a file that is no .safetensors file: "a Git LFS pointer, not the file itself; `git lfs pull` fetches it". Empty:
// nothing that is known. Never throws for what the file holds.
std::string describe_foreign_file(std::span<const std::byte> content);

}  // namespace coil::ssm
