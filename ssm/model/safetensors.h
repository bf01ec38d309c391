// Reading (memory-mapped, every field checked) and writing of the .safetensors container.
// Source of the format: the description in the README of huggingface/safetensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace coil::ssm {

// other: an unsupported dtype, such as 8-bit floats. A file may contain such tensors, but their values cannot be read.
enum class Dtype { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean, other };

// A tensor as stored in the file. `bytes` stays valid as long as its Safetensors object.
struct Tensor {
  Dtype dtype = Dtype::f32;
  std::string dtype_name;  // as in the file: "F32"
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  bool is_float() const {
    return dtype == Dtype::f64 || dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16;
  }
  int64_t size() const;  // number of elements

  // All elements, row-major. Floats and integers are converted. Throws Error for a dtype or a value that the target
  // cannot represent.
  std::vector<float> to_floats() const;
  std::vector<double> to_doubles() const;
  std::vector<int32_t> to_ints() const;
};

std::string to_string(const std::vector<int64_t>& shape);  // "(2, 48, 16)"

// One file, mapped or in memory. A hostile or damaged file causes an Error that names the file and the field: header
// size, JSON, dtype, shape, offsets that overlap, leave holes or exceed the end, sizes that overflow, duplicate names.
class Safetensors {
 public:
  static Safetensors open(const std::filesystem::path& path);
  static Safetensors from_bytes(std::shared_ptr<const std::vector<std::byte>> bytes,
                                const std::string& name);  // `name`: for messages

  // A copy of all tensors in memory, so that later changes of the file have no effect.
  Safetensors in_memory() const;

  const std::filesystem::path& path() const { return path_; }
  bool is_on_disk() const { return on_disk_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }

 private:
  static Safetensors parse(const std::filesystem::path& path, std::span<const std::byte> content,
                           std::shared_ptr<const void> owner);

  std::filesystem::path path_;
  bool on_disk_ = false;
  std::shared_ptr<const void> content_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

// A tensor to write; its values are float32.
struct NamedFloats {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// The content of the whole file.
std::vector<std::byte> safetensors_bytes(const std::map<std::string, std::string>& metadata,
                                         std::span<const NamedFloats> tensors);
// Writes through a PartFile, so that a reader never sees an incomplete file. Throws Error on failure.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::span<const NamedFloats> tensors);

}  // namespace coil::ssm
