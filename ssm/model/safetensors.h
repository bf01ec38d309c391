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

// other: of no use here, such as floats of 8 bits; a file may hold such tensors, their values cannot be had.
enum class Dtype { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean, other };

// A tensor as it lies in the file; `bytes` stays valid as long as the Safetensors it came from.
struct Tensor {
  Dtype dtype = Dtype::f32;
  std::string dtype_name;  // as the file has it: "F32"
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  bool is_float() const {
    return dtype == Dtype::f64 || dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16;
  }
  int64_t size() const;  // number of elements

  // Every element, row-major. Float types and integers convert; throws Error for a dtype or a value that the target
  // cannot hold.
  std::vector<float> to_floats() const;
  std::vector<double> to_doubles() const;
  std::vector<int32_t> to_ints() const;
};

std::string to_string(const std::vector<int64_t>& shape);  // "(2, 48, 16)"

// One file, mapped or in memory. A hostile or damaged file gets one Error that names the file and the field: header
// size, JSON, dtype, shape, offsets that overlap, leave holes or pass the end, sizes that overflow, duplicate names.
class Safetensors {
 public:
  static Safetensors open(const std::filesystem::path& path);
  static Safetensors from_bytes(std::shared_ptr<const std::vector<std::byte>> bytes,
                                const std::string& name);  // `name`: for messages

  // The same with the tensors copied into memory, so that nothing that becomes of the file matters any more.
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

// A tensor to be written; the values are float32.
struct NamedFloats {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// The whole file, in memory.
std::vector<std::byte> safetensors_bytes(const std::map<std::string, std::string>& metadata,
                                         std::span<const NamedFloats> tensors);
// Through a PartFile, so that a reader never sees half a file. Throws Error when that fails.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::span<const NamedFloats> tensors);

}  // namespace coil::ssm
