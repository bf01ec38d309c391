// The tensors and JSON texts of one trained model, whatever files they lie in: one .safetensors file, or a HuggingFace
// directory.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ssm/model/safetensors.h"

namespace coil::ssm {

class Checkpoint {
 public:
  // A .safetensors file with `config` in its metadata or config.json beside it, or a directory with config.json and
  // model.safetensors (or the shards that model.safetensors.index.json names, or a single other .safetensors file).
  // Throws Error. [main-thread]
  static Checkpoint open(const std::filesystem::path& path);
  // The bytes of such a .safetensors file; `name` stands for the file in messages. Throws Error. [any thread]
  static Checkpoint from_bytes(std::shared_ptr<const std::vector<std::byte>> bytes, const std::string& name);

  // The same, independent of its files. [main-thread]
  Checkpoint in_memory() const;
  // The same, for one reader: it keeps a list of the tensors whose values were asked for. [main-thread]
  Checkpoint counting_reads() const;
  // The names that were not asked for. Of counting_reads() alone.
  std::vector<std::string> unread() const;

  const std::string& source() const { return source_; }  // for messages
  const std::string& config_json() const { return config_json_; }
  const std::string& card_json() const { return card_json_; }  // empty: no card
  std::string hash() const;  // 32 hex digits over config and all tensors (names, shapes, dtypes, bytes): XXH3, 128 bits

  // Names are those of transformers' Mamba, whatever stands in front of them in the files:
  // "backbone.layers.0.norm.weight", "lm_head.weight".
  const Tensor* find(std::string_view name) const;  // null: not there
  std::vector<std::string> names() const;

  // The tensor's values, after checking that it is there, has this shape (further axes of size 1 aside), and is finite.
  // Throws Error naming file, tensor, expected and found shape.
  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape) const;
  std::vector<double> doubles(const std::string& name, const std::vector<int64_t>& shape) const;
  // Only `count` of its values, in the order they lie, from `first` on.
  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape, size_t first,
                            size_t count) const;
  std::vector<double> doubles(const std::string& name, const std::vector<int64_t>& shape, size_t first,
                              size_t count) const;

  // The same, with this many frames for attention to look back. Its hash is another one: so is what its states hold.
  Checkpoint with_window(int frames) const;

 private:
  static Checkpoint of_one_file(Safetensors file, const std::string& source);
  static Checkpoint of_directory(const std::filesystem::path& path);
  void take_upstream_names();
  std::string in_file(const std::string& name) const;  // for messages: the name, and what the file calls it
  const Tensor& checked(const std::string& name, const std::vector<int64_t>& shape) const;
  Tensor part(const std::string& name, const std::vector<int64_t>& shape, size_t first, size_t count) const;
  template <class Value>
  std::vector<Value> finite(std::vector<Value> values, const std::string& name) const;

  std::string source_, config_json_, card_json_;
  std::vector<Safetensors> files_;
  std::map<std::string, std::string, std::less<>> stored_names_;  // where they differ
  std::shared_ptr<std::set<std::string>> read_;                   // null: nobody counts
};

}  // namespace coil::ssm
