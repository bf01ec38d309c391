// The tensors and JSON texts of one trained model, from one .safetensors file or a HuggingFace directory.
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
  // Reads the bytes of such a .safetensors file; `name` names it in messages. Throws Error. [any thread]
  static Checkpoint from_bytes(std::shared_ptr<const std::vector<std::byte>> bytes, const std::string& name);

  // A copy that does not depend on its files. [main-thread]
  Checkpoint in_memory() const;
  // A copy for one reader that records which tensors were read. [main-thread]
  Checkpoint counting_reads() const;
  // The names of the tensors that were not read. Only after counting_reads().
  std::vector<std::string> unread() const;

  const std::string& source() const { return source_; }  // for messages
  const std::string& config_json() const { return config_json_; }
  const std::string& card_json() const { return card_json_; }  // empty: no card
  std::string hash() const;  // 32 hex digits of XXH3 (128 bits) over config and all tensors (names, shapes, dtypes,
                             // bytes)

  // Names are those of transformers' Mamba ("backbone.layers.0.norm.weight", "lm_head.weight"), whatever prefix the
  // files use.
  const Tensor* find(std::string_view name) const;  // null: not found
  std::vector<std::string> names() const;

  // The tensor's values. Checks that it exists, has this shape (ignoring additional axes of size 1), and is finite.
  // Throws Error that names file, tensor, expected and found shape.
  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape) const;
  std::vector<double> doubles(const std::string& name, const std::vector<int64_t>& shape) const;
  // `count` of its values in stored order, from `first` on.
  std::vector<float> floats(const std::string& name, const std::vector<int64_t>& shape, size_t first,
                            size_t count) const;
  std::vector<double> doubles(const std::string& name, const std::vector<int64_t>& shape, size_t first,
                              size_t count) const;

  // A copy in which attention looks back this many frames. It has another hash, because its states hold other data.
  Checkpoint with_window(int frames) const;

 private:
  static Checkpoint of_one_file(Safetensors file, const std::string& source);
  static Checkpoint of_directory(const std::filesystem::path& path);
  void take_upstream_names();
  std::string in_file(const std::string& name) const;  // for messages: the name, and its name in the file
  const Tensor& checked(const std::string& name, const std::vector<int64_t>& shape) const;
  Tensor part(const std::string& name, const std::vector<int64_t>& shape, size_t first, size_t count) const;
  template <class Value>
  std::vector<Value> finite(std::vector<Value> values, const std::string& name) const;

  std::string source_, config_json_, card_json_;
  std::vector<Safetensors> files_;
  std::map<std::string, std::string, std::less<>> stored_names_;  // only names that differ
  std::shared_ptr<std::set<std::string>> read_;                   // null: reads are not recorded
};

}  // namespace coil::ssm
