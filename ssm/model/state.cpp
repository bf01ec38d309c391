// The arena of a stream's memory, and its file format.
#include "ssm/model/state.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <functional>

#include "base/error.h"

namespace coil::ssm {

namespace {

constexpr const char* kVersion = "1";

// Multiplies (or divides) the values by the tensor's scale, either value by value or, for complex numbers, pair by
// pair.
template <class Operation>
void rescale(const StateTensor& tensor, std::vector<float>& values, const Operation& operation) {
  const bool pairs = values.size() == 2 * tensor.scale.size();
  for (size_t i = 0; i < tensor.scale.size(); ++i) {
    if (!pairs) {
      values[i] = operation(std::complex<float>(values[i]), tensor.scale[i]).real();
      continue;
    }
    const std::complex<float> value = operation(std::complex<float>(values[2 * i], values[2 * i + 1]), tensor.scale[i]);
    values[2 * i] = value.real(), values[2 * i + 1] = value.imag();
  }
}

}  // namespace

size_t StateLayout::add(const StateRegion& region, size_t floats, std::vector<uint32_t> position,
                        std::vector<std::complex<float>> scale) {
  const size_t offset = size;
  size += (floats + 15) / 16 * 16;
  tensors.push_back({region.name, region.shape, offset, std::move(position), std::move(scale)});
  return offset;
}

std::string StateLayout::id() const {
  std::string fields;
  for (const StateTensor& tensor : tensors) fields += tensor.name + " " + to_string(tensor.shape) + "\n";
  char text[17];
  std::snprintf(text, sizeof text, "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(fields.data(), fields.size())));
  return text;
}

State::State(std::shared_ptr<const StateLayout> layout) : layout_(std::move(layout)), arena_(layout_->size, 0.0f) {}

void State::clear() noexcept { std::fill(arena_.begin(), arena_.end(), 0.0f); }

bool all_finite(std::span<const float> values) noexcept {
  // Adding to an exponent of all ones carries into the sign bit. Written in this form so that it vectorises.
  const auto carry = [](float value) { return (std::bit_cast<uint32_t>(value) & 0x7f800000u) + 0x00800000u; };
  constexpr size_t kLanes = 16;
  std::array<uint32_t, kLanes> all = {};
  for (; values.size() >= kLanes; values = values.subspan(kLanes)) {
    for (size_t i = 0; i < kLanes; ++i) all[i] |= carry(values[i]);
  }
  uint32_t any = 0;
  for (const float value : values) any |= carry(value);
  for (const uint32_t lane : all) any |= lane;
  return (any & 0x80000000u) == 0;
}

bool State::is_finite() const noexcept { return all_finite(arena_); }

bool State::operator==(const State& other) const noexcept {
  return layout_->model_hash == other.layout_->model_hash && layout_->sample_rate_hz == other.layout_->sample_rate_hz &&
         arena_.size() == other.arena_.size() && std::memcmp(arena_.data(), other.arena_.data(), bytes()) == 0;
}

void State::copy_from(const State& other) noexcept {
  if (arena_.size() == other.arena_.size()) std::copy(other.arena_.begin(), other.arena_.end(), arena_.begin());
}

std::vector<NamedFloats> State::tensors() const {
  std::vector<NamedFloats> out;
  for (const StateTensor& tensor : layout_->tensors) {
    NamedFloats named{tensor.name, tensor.shape, {}};
    for (const uint32_t position : tensor.position) named.values.push_back(arena_[tensor.offset + position]);
    rescale(tensor, named.values, std::multiplies<>());
    out.push_back(std::move(named));
  }
  return out;
}

void State::set(const std::string& name, std::span<const float> values) {
  for (const StateTensor& tensor : layout_->tensors) {
    if (tensor.name != name) continue;
    if (values.size() != tensor.position.size())
      throw Error("state tensor '" + name + "' has " + std::to_string(tensor.position.size()) + " values, got " +
                  std::to_string(values.size()));
    std::vector<float> stored(values.begin(), values.end());
    rescale(tensor, stored, std::divides<>());
    for (size_t i = 0; i < stored.size(); ++i) arena_[tensor.offset + tensor.position[i]] = stored[i];
    return;
  }
  throw Error("the model has no state tensor '" + name + "'");
}

void State::save(const std::filesystem::path& path, const std::map<std::string, std::string>& notes) const {
  std::map<std::string, std::string> metadata = notes;
  metadata["coil_state"] = kVersion, metadata["model"] = layout_->model_hash, metadata["layout"] = layout_->id();
  write_safetensors(path, metadata, tensors());
}

State State::load(const std::filesystem::path& path, std::shared_ptr<const StateLayout> layout) {
  const Safetensors file = Safetensors::open(path);
  const std::string where = path.string();
  const auto field = [&](const char* key) {
    const auto it = file.metadata().find(key);
    return it == file.metadata().end() ? std::string() : it->second;
  };
  if (field("coil_state").empty()) throw Error(where + ": is not a state file (no 'coil_state' in its metadata)");
  if (field("coil_state") != kVersion)
    throw Error(where + ": state version " + field("coil_state") + ", this program reads version " + kVersion);
  if (field("model") != layout->model_hash)
    throw Error(where + ": belongs to the model with hash " + field("model") + ", not to this one, " +
                layout->model_hash);
  // Files of earlier versions have no id; their fields are compared one by one, like all others.
  if (const std::string id = field("layout"); !id.empty() && id != layout->id())
    throw Error(where + ": holds the fields of another version of Coil (layout " + id + ", this program's is " +
                layout->id() + "); begin a new state");
  State state(std::move(layout));
  for (const StateTensor& tensor : state.layout().tensors) {
    const auto it = file.tensors().find(tensor.name);
    if (it == file.tensors().end()) throw Error(where + ": tensor '" + tensor.name + "' is missing");
    if (it->second.shape != tensor.shape || it->second.dtype != Dtype::f32)
      throw Error(where + ": tensor '" + tensor.name + "' must be F32 of shape " + to_string(tensor.shape) +
                  ", found " + it->second.dtype_name + " of shape " + to_string(it->second.shape));
    state.set(tensor.name, it->second.to_floats());
  }
  if (!state.is_finite()) throw Error(where + ": holds a value that is not finite");
  return state;
}

}  // namespace coil::ssm
