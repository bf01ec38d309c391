// Reading and writing of the .safetensors container: u64 header length, JSON header, raw little-endian tensors.
#include "ssm/model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/part_file.h"
#include "ssm/model/foreign_file.h"

namespace coil::ssm {

static_assert(std::endian::native == std::endian::little, "the container is little-endian");

namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit that the format's own library sets
constexpr size_t kMaxAxes = 8;

struct DtypeName {
  const char* name;
  Dtype dtype;
  size_t bytes;
};
constexpr DtypeName kDtypes[] = {{"F64", Dtype::f64, 8},     {"F32", Dtype::f32, 4}, {"F16", Dtype::f16, 2},
                                 {"BF16", Dtype::bf16, 2},   {"I64", Dtype::i64, 8}, {"I32", Dtype::i32, 4},
                                 {"I16", Dtype::i16, 2},     {"I8", Dtype::i8, 1},   {"U64", Dtype::u64, 8},
                                 {"U32", Dtype::u32, 4},     {"U16", Dtype::u16, 2}, {"U8", Dtype::u8, 1},
                                 {"BOOL", Dtype::boolean, 1}};

float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {
    const float subnormal = float(mantissa) * 0x1p-24f;
    return sign ? -subnormal : subnormal;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

template <class T>
T read_at(std::span<const std::byte> bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

template <class To>
std::vector<To> convert(const Tensor& tensor) {
  const size_t n = size_t(tensor.size());
  std::vector<To> out(n);
  const auto each = [&](auto read) {
    for (size_t i = 0; i < n; ++i) out[i] = To(read(i));
  };
  switch (tensor.dtype) {
    case Dtype::f64:
      each([&](size_t i) { return read_at<double>(tensor.bytes, i); });
      break;
    case Dtype::f32:
      each([&](size_t i) { return read_at<float>(tensor.bytes, i); });
      break;
    case Dtype::f16:
      each([&](size_t i) { return half_to_float(read_at<uint16_t>(tensor.bytes, i)); });
      break;
    case Dtype::bf16:
      each([&](size_t i) { return std::bit_cast<float>(uint32_t(read_at<uint16_t>(tensor.bytes, i)) << 16); });
      break;
    case Dtype::i64:
      each([&](size_t i) { return read_at<int64_t>(tensor.bytes, i); });
      break;
    case Dtype::i32:
      each([&](size_t i) { return read_at<int32_t>(tensor.bytes, i); });
      break;
    case Dtype::i16:
      each([&](size_t i) { return read_at<int16_t>(tensor.bytes, i); });
      break;
    case Dtype::i8:
      each([&](size_t i) { return read_at<int8_t>(tensor.bytes, i); });
      break;
    case Dtype::u64:
      each([&](size_t i) { return read_at<uint64_t>(tensor.bytes, i); });
      break;
    case Dtype::u32:
      each([&](size_t i) { return read_at<uint32_t>(tensor.bytes, i); });
      break;
    case Dtype::u16:
      each([&](size_t i) { return read_at<uint16_t>(tensor.bytes, i); });
      break;
    case Dtype::u8:
    case Dtype::boolean:
      each([&](size_t i) { return read_at<uint8_t>(tensor.bytes, i); });
      break;
    case Dtype::other:
      throw Error("values of dtype " + tensor.dtype_name + " cannot be read");
  }
  return out;
}

// The file as read-only memory, unmapped when its last owner is destroyed.
struct Mapping {
  const std::byte* data = nullptr;
  size_t size = 0;
  ~Mapping() {
    if (data) munmap(const_cast<std::byte*>(data), size);
  }
};

std::shared_ptr<const Mapping> map_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw Error(path.string() + ": cannot be opened: " + std::system_category().message(errno));
  auto mapping = std::make_shared<Mapping>();
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(fd);
    throw Error(path.string() + ": is not a regular file");
  }
  if (info.st_size == 0) {
    close(fd);
    throw Error(path.string() + ": is empty");
  }
  void* data = mmap(nullptr, size_t(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (data == MAP_FAILED) throw Error(path.string() + ": cannot be mapped: " + std::system_category().message(error));
  mapping->data = static_cast<const std::byte*>(data);
  mapping->size = size_t(info.st_size);
  return mapping;
}

// Throws Error. If the file is of another kind, the error says which.
uint64_t header_size(std::span<const std::byte> content, const std::string& where) {
  if (content.empty()) throw Error(where + ": is empty");
  uint64_t size = 0;
  const size_t left = content.size() - std::min(content.size(), sizeof size);
  if (left > 0) std::memcpy(&size, content.data(), sizeof size);
  const bool has_header = left > 0 && size <= kMaxHeaderBytes && content[sizeof size] == std::byte('{');
  if (has_header && size <= left) return size;
  if (has_header) {
    throw Error(where + ": is cut off: it has " + std::to_string(content.size()) + " bytes, its header alone " +
                std::to_string(size));
  }
  if (const std::string what = describe_foreign_file(content); !what.empty()) throw Error(where + ": is " + what);
  throw Error(where + ": is not a .safetensors file: it does not begin with the size of a header and the header");
}

// Parses the header, and rejects duplicate names: the JSON library would silently keep only one of them.
Json parse_header(const char* begin, size_t size, const std::string& where) {
  std::vector<std::set<std::string>> keys;
  std::string duplicate;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > 8) throw Error(where + ": header is nested deeper than a .safetensors header can be");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      duplicate = value.get<std::string>();
    return true;
  };
  Json header;
  try {
    header = Json::parse(begin, begin + size, watch);
  } catch (const Json::exception&) {
    throw Error(where + ": header is not valid JSON");
  }
  if (!duplicate.empty()) throw Error(where + ": header names '" + duplicate + "' twice");
  if (!header.is_object()) throw Error(where + ": header is not a JSON object");
  return header;
}

int64_t non_negative(const Json& value, const std::string& what) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(INT64_MAX)) ||
      (!value.is_number_unsigned() && value.get<int64_t>() < 0))
    throw Error(what + " must be a whole number from 0 on, found " + value.dump());
  return value.get<int64_t>();
}

bool is_dtype_name(const Json& json) {
  if (!json.is_string()) return false;
  const std::string name = json;
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Tensor parse_tensor(const Json& json, std::span<const std::byte> data, const std::string& where) {
  if (!json.is_object() || !json.contains("dtype") || !json.contains("shape") || !json.contains("data_offsets"))
    throw Error(where + ": needs dtype, shape and data_offsets");
  Tensor tensor;
  const Json& dtype = json["dtype"];
  if (!is_dtype_name(dtype))
    throw Error(where + ": dtype must be a name such as F32, found " + dtype.dump().substr(0, 60));
  tensor.dtype_name = dtype;
  const auto known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                  [&](const DtypeName& d) { return tensor.dtype_name == d.name; });
  tensor.dtype = known == std::end(kDtypes) ? Dtype::other : known->dtype;

  const Json& shape = json["shape"];
  if (!shape.is_array() || shape.size() > kMaxAxes) throw Error(where + ": shape must be an array of at most 8 sizes");
  uint64_t elements = 1;
  for (const Json& axis : shape) {
    tensor.shape.push_back(non_negative(axis, where + ": a size in shape"));
    if (__builtin_mul_overflow(elements, uint64_t(tensor.shape.back()), &elements))
      throw Error(where + ": shape overflows");
  }
  uint64_t bytes = 0;
  if (tensor.dtype != Dtype::other && __builtin_mul_overflow(elements, uint64_t(known->bytes), &bytes))
    throw Error(where + ": shape overflows");

  const Json& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) throw Error(where + ": data_offsets must be two numbers");
  const uint64_t begin = uint64_t(non_negative(offsets[0], where + ": data_offsets[0]"));
  const uint64_t end = uint64_t(non_negative(offsets[1], where + ": data_offsets[1]"));
  if (begin > end || end > data.size())
    throw Error(where + ": data_offsets " + offsets.dump() + " lie outside the file's " + std::to_string(data.size()) +
                " data bytes");
  if (tensor.dtype == Dtype::other) bytes = end - begin;  // the element size of an unknown dtype is not known
  if (end - begin != bytes)
    throw Error(where + ": shape " + to_string(tensor.shape) + " of " + tensor.dtype_name + " needs " +
                std::to_string(bytes) + " bytes, data_offsets give " + std::to_string(end - begin));
  tensor.bytes = data.subspan(begin, bytes);
  return tensor;
}

void check_coverage(const std::map<std::string, Tensor>& tensors, std::span<const std::byte> data,
                    const std::string& where) {
  std::vector<std::tuple<const std::byte*, const std::byte*, const std::string*>> ranges;
  for (const auto& [name, tensor] : tensors)
    if (!tensor.bytes.empty())
      ranges.emplace_back(tensor.bytes.data(), tensor.bytes.data() + tensor.bytes.size(), &name);
  std::sort(ranges.begin(), ranges.end());
  const std::byte* expected = data.data();
  for (const auto& [begin, end, name] : ranges) {
    if (begin < expected) throw Error(where + ": tensor '" + *name + "' overlaps the one before it");
    if (begin > expected) throw Error(where + ": unused bytes before tensor '" + *name + "'");
    expected = end;
  }
  if (expected != data.data() + data.size()) throw Error(where + ": unused bytes after the last tensor");
}

}  // namespace

std::string to_string(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

int64_t Tensor::size() const {
  const auto known =
      std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const DtypeName& d) { return dtype == d.dtype; });
  return known == std::end(kDtypes) ? 0 : int64_t(bytes.size() / known->bytes);
}
std::vector<float> Tensor::to_floats() const { return convert<float>(*this); }
std::vector<double> Tensor::to_doubles() const { return convert<double>(*this); }

std::vector<int32_t> Tensor::to_ints() const {
  if (is_float()) throw Error("whole numbers are wanted, found dtype " + dtype_name);
  const auto check = [&](auto read) {
    for (size_t i = 0; i < size_t(size()); ++i)
      if (!std::in_range<int32_t>(read(i))) throw Error("value " + std::to_string(read(i)) + " does not fit 32 bits");
  };
  if (dtype == Dtype::i64) check([&](size_t i) { return read_at<int64_t>(bytes, i); });
  if (dtype == Dtype::u64) check([&](size_t i) { return read_at<uint64_t>(bytes, i); });
  if (dtype == Dtype::u32) check([&](size_t i) { return read_at<uint32_t>(bytes, i); });
  return convert<int32_t>(*this);
}

Safetensors Safetensors::open(const std::filesystem::path& path) {
  const auto mapping = map_file(path);
  Safetensors file = parse(path, {mapping->data, mapping->size}, mapping);
  file.on_disk_ = true;
  return file;
}

Safetensors Safetensors::from_bytes(std::shared_ptr<const std::vector<std::byte>> bytes, const std::string& name) {
  const std::span<const std::byte> content = *bytes;
  return parse(name, content, std::move(bytes));
}

Safetensors Safetensors::parse(const std::filesystem::path& path, std::span<const std::byte> content,
                               std::shared_ptr<const void> owner) {
  const std::string where = path.string();
  Safetensors file;
  file.path_ = path;
  file.content_ = std::move(owner);

  const uint64_t header_bytes = header_size(content, where);
  const Json header =
      parse_header(reinterpret_cast<const char*>(content.data()) + sizeof header_bytes, header_bytes, where);
  const std::span<const std::byte> data = content.subspan(sizeof header_bytes + header_bytes);

  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      if (value.is_null()) continue;  // some writers store null for an empty value
      if (!value.is_object()) throw Error(where + ": __metadata__ must be an object of strings");
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) throw Error(where + ": __metadata__." + key + " must be a string");
        file.metadata_[key] = text.get<std::string>();
      }
    } else {
      file.tensors_[name] = parse_tensor(value, data, where + ": tensor '" + name + "'");
    }
  }
  check_coverage(file.tensors_, data, where);
  return file;
}

Safetensors Safetensors::in_memory() const {
  const auto copies = std::make_shared<std::map<std::string, std::vector<std::byte>>>();
  Safetensors file = *this;
  for (auto& [name, tensor] : file.tensors_) {
    std::vector<std::byte>& copy = (*copies)[name];
    copy.assign(tensor.bytes.begin(), tensor.bytes.end());
    tensor.bytes = copy;
  }
  file.content_ = copies;
  return file;
}

std::vector<std::byte> safetensors_bytes(const std::map<std::string, std::string>& metadata,
                                         std::span<const NamedFloats> tensors) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const NamedFloats& tensor : tensors) {
    const uint64_t end = offset + tensor.values.size() * sizeof(float);
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // aligns the data
  const uint64_t header_bytes = text.size();

  std::vector<std::byte> bytes;
  bytes.reserve(sizeof header_bytes + header_bytes + offset);
  const auto add = [&](const auto* data, size_t count) {
    const auto* begin = reinterpret_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), begin, begin + count * sizeof *data);
  };
  add(&header_bytes, 1);
  add(text.data(), text.size());
  for (const NamedFloats& tensor : tensors) add(tensor.values.data(), tensor.values.size());
  return bytes;
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, std::string>& metadata,
                       std::span<const NamedFloats> tensors) {
  const std::vector<std::byte> bytes = safetensors_bytes(metadata, tensors);
  PartFile part(path);
  if (!part.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()}) || !part.sync() || !part.commit())
    throw Error(path.string() + ": cannot be written: " + part.error());
}

}  // namespace coil::ssm
