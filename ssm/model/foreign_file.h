// Identifies a file that is not a model by its first bytes, so that the error can say what to do instead.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace coil::ssm {

// For a file that is not a .safetensors file, for example "a Git LFS pointer, not the file itself; `git lfs pull`
// fetches it". Empty if it is unknown. Never throws because of the content.
std::string describe_foreign_file(std::span<const std::byte> content);

}  // namespace coil::ssm
