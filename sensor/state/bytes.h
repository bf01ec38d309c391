// Plain values and texts in a row of bytes, as they lie in memory: for state files, which stay on their machine.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace coil::sensor {

using Bytes = std::vector<std::byte>;

class ByteWriter {
 public:
  explicit ByteWriter(Bytes& to) : to_(to) {}

  void raw(const void* data, size_t size) {
    const auto* from = static_cast<const std::byte*>(data);
    to_.insert(to_.end(), from, from + size);
  }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void value(const T& value) { raw(&value, sizeof value); }
  void text(const std::string& text) {
    value(static_cast<uint64_t>(text.size()));
    raw(text.data(), text.size());
  }

 private:
  Bytes& to_;
};

// Throws Error where the bytes end too soon.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> from) : from_(from) {}

  bool at_end() const { return from_.empty(); }
  void raw(void* data, size_t size) {
    if (size > from_.size()) throw Error("ends too soon");
    std::memcpy(data, from_.data(), size);
    from_ = from_.subspan(size);
  }
  template <class T>
  requires std::is_trivially_copyable_v<T> T value() {
    T value;
    raw(&value, sizeof value);
    return value;
  }
  std::string text() {
    const auto size = value<uint64_t>();
    if (size > from_.size()) throw Error("ends too soon");
    std::string text(reinterpret_cast<const char*>(from_.data()), size);
    from_ = from_.subspan(size);
    return text;
  }

 private:
  std::span<const std::byte> from_;
};

}  // namespace coil::sensor
