// Opens a model file or a HuggingFace directory, and returns checked tensors.
#include "ssm/model/checkpoint.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "ssm/model/config.h"
#include "ssm/model/upstream_names.h"

namespace coil::ssm {

namespace {

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw Error(path.string() + ": cannot be read");
  return text.str();
}

// The files that a sharded checkpoint's index names, without duplicates.
std::vector<std::filesystem::path> shards(const std::filesystem::path& index) {
  const auto json = nlohmann::json::parse(read_text(index), nullptr, false);
  if (json.is_discarded() || !json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw Error(index.string() + ": needs an object 'weight_map' from tensor names to file names");
  std::set<std::filesystem::path> names;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string()) throw Error(index.string() + ": weight_map." + tensor + " must be a file name");
    const std::filesystem::path name = file.get<std::string>();
    if (name.empty() || name != name.filename())
      throw Error(index.string() + ": weight_map." + tensor + " must name a file beside the index");
    names.insert(index.parent_path() / name);
  }
  return {names.begin(), names.end()};
}

// Finds a directory's weights if they have an unusual file name.
std::filesystem::path only_safetensors(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  bool pickled = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string ending = entry.path().extension().string();
    if (ending == ".safetensors") found.push_back(entry.path());
    pickled = pickled || ending == ".bin" || ending == ".pt" || ending == ".pth" || ending == ".ckpt";
  }
  if (found.size() == 1) return found.front();
  const std::string where = folder.string() + ": has neither model.safetensors nor model.safetensors.index.json";
  if (found.size() > 1) throw Error(where + ", but " + std::to_string(found.size()) + " other .safetensors files");
  throw Error(where + (pickled ? "; pickled weights are not read, save the model with safetensors" : ""));
}

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return of_directory(path);
  return of_one_file(Safetensors::open(path), path.string());
}

Checkpoint Checkpoint::of_directory(const std::filesystem::path& path) {
  Checkpoint checkpoint;
  checkpoint.source_ = path.string();
  const auto config = path / "config.json", single = path / "model.safetensors",
             index = path / "model.safetensors.index.json";
  if (!std::filesystem::exists(config)) throw Error(path.string() + ": is a directory without config.json");
  checkpoint.config_json_ = read_text(config);
  if (std::filesystem::exists(single)) {
    checkpoint.files_.push_back(Safetensors::open(single));
  } else if (std::filesystem::exists(index)) {
    for (const auto& shard : shards(index)) checkpoint.files_.push_back(Safetensors::open(shard));
  } else {
    checkpoint.files_.push_back(Safetensors::open(only_safetensors(path)));
  }
  checkpoint.take_upstream_names();
  return checkpoint;
}

Checkpoint Checkpoint::from_bytes(std::shared_ptr<const std::vector<std::byte>> bytes, const std::string& name) {
  return of_one_file(Safetensors::from_bytes(std::move(bytes), name), name);
}

Checkpoint Checkpoint::of_one_file(Safetensors file, const std::string& source) {
  Checkpoint checkpoint;
  checkpoint.source_ = source;
  checkpoint.files_.push_back(std::move(file));
  const auto& metadata = checkpoint.files_.front().metadata();
  const auto config = metadata.find("config");
  const auto beside = checkpoint.files_.front().path().parent_path() / "config.json";
  if (config != metadata.end())
    checkpoint.config_json_ = config->second;
  else if (checkpoint.files_.front().is_on_disk() && std::filesystem::exists(beside))
    checkpoint.config_json_ = read_text(beside);
  else
    throw Error(source + ": has no 'config' in its metadata and no config.json beside it, so it is not a model file");
  if (const auto card = metadata.find("card"); card != metadata.end()) checkpoint.card_json_ = card->second;
  checkpoint.take_upstream_names();
  return checkpoint;
}

void Checkpoint::take_upstream_names() {
  if (is_upstream_config(config_json_)) stored_names_ = upstream_names(names());
}

Checkpoint Checkpoint::in_memory() const {
  Checkpoint copy = *this;
  for (Safetensors& file : copy.files_) file = file.in_memory();
  return copy;
}

Checkpoint Checkpoint::counting_reads() const {
  Checkpoint copy = *this;
  copy.read_ = std::make_shared<std::set<std::string>>();
  return copy;
}

std::vector<std::string> Checkpoint::unread() const {
  std::vector<std::string> left;
  for (const std::string& name : names())
    if (!read_->contains(name)) left.push_back(name);
  return left;
}

std::string Checkpoint::hash() const {
  XXH3_state_t* state = XXH3_createState();
  XXH3_128bits_reset(state);
  const auto feed = [&](std::string_view text) {
    const uint64_t size = text.size();  // the length makes different sequences of texts hash differently
    XXH3_128bits_update(state, &size, sizeof size);
    XXH3_128bits_update(state, text.data(), text.size());
  };
  feed(config_json_);
  for (const std::string& name : names()) {
    const Tensor& tensor = *find(name);
    feed(name);
    feed(tensor.dtype_name);
    feed(to_string(tensor.shape));
    feed({reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()});
  }
  const XXH128_hash_t value = XXH3_128bits_digest(state);
  XXH3_freeState(state);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(value.high64),
                static_cast<unsigned long long>(value.low64));
  return text;
}

const Tensor* Checkpoint::find(std::string_view name) const {
  const auto renamed = stored_names_.find(name);
  const std::string stored = renamed == stored_names_.end() ? std::string(name) : renamed->second;
  for (const Safetensors& file : files_)
    if (const auto it = file.tensors().find(stored); it != file.tensors().end()) return &it->second;
  return nullptr;
}

std::vector<std::string> Checkpoint::names() const {
  std::set<std::string> names;
  for (const Safetensors& file : files_)
    for (const auto& [name, tensor] : file.tensors()) names.insert(name);
  for (const auto& [name, stored] : stored_names_) names.erase(stored);
  for (const auto& [name, stored] : stored_names_) names.insert(name);
  return {names.begin(), names.end()};
}

std::string Checkpoint::in_file(const std::string& name) const {
  const auto renamed = stored_names_.find(name);
  return "tensor '" + name + "'" + (renamed == stored_names_.end() ? "" : " (in the file '" + renamed->second + "')");
}

const Tensor& Checkpoint::checked(const std::string& name, const std::vector<int64_t>& shape) const {
  const Tensor* tensor = find(name);
  if (!tensor) throw Error(source_ + ": tensor '" + name + "' of shape " + to_string(shape) + " is missing");
  if (read_) read_->insert(name);
  std::vector<int64_t> found = tensor->shape;
  while (found.size() > shape.size() && found.back() == 1)
    found.pop_back();  // a linear layer that is stored as a convolution of one tap
  if (found != shape)
    throw Error(source_ + ": " + in_file(name) + " has shape " + to_string(tensor->shape) + ", the config needs " +
                to_string(shape));
  if (tensor->dtype != Dtype::f32 && tensor->dtype != Dtype::f64 && tensor->dtype != Dtype::f16 &&
      tensor->dtype != Dtype::bf16)
    throw Error(source_ + ": " + in_file(name) + " has dtype " + tensor->dtype_name +
                ", weights must be F32, F16, BF16 or F64");
  return *tensor;
}

Tensor Checkpoint::part(const std::string& name, const std::vector<int64_t>& shape, size_t first, size_t count) const {
  Tensor tensor = checked(name, shape);
  const size_t bytes = tensor.bytes.size() / std::max<size_t>(size_t(tensor.size()), 1);
  tensor.bytes = tensor.bytes.subspan(first * bytes, count * bytes);
  tensor.shape = {int64_t(count)};
  return tensor;
}

template <class Value>
std::vector<Value> Checkpoint::finite(std::vector<Value> values, const std::string& name) const {
  if (!std::all_of(values.begin(), values.end(), [](Value v) { return std::isfinite(v); }))
    throw Error(source_ + ": " + in_file(name) + " holds a value that is not finite");
  return values;
}

std::vector<float> Checkpoint::floats(const std::string& name, const std::vector<int64_t>& shape) const {
  return finite(checked(name, shape).to_floats(), name);
}

std::vector<double> Checkpoint::doubles(const std::string& name, const std::vector<int64_t>& shape) const {
  return finite(checked(name, shape).to_doubles(), name);
}

std::vector<float> Checkpoint::floats(const std::string& name, const std::vector<int64_t>& shape, size_t first,
                                      size_t count) const {
  return finite(part(name, shape, first, count).to_floats(), name);
}

std::vector<double> Checkpoint::doubles(const std::string& name, const std::vector<int64_t>& shape, size_t first,
                                        size_t count) const {
  return finite(part(name, shape, first, count).to_doubles(), name);
}

Checkpoint Checkpoint::with_window(int frames) const {
  Checkpoint copy = *this;
  // If a key occurs twice, the last one counts.
  if (const size_t end = copy.config_json_.rfind('}'); end != std::string::npos)
    copy.config_json_.insert(end, ", \"" + std::string(kWindowKey) + "\": " + std::to_string(frames));
  return copy;
}

}  // namespace coil::ssm
