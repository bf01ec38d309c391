// Writes fields and texts as bytes. The format is for state files, which are not portable between kinds of machines.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace coil::sensor {

using Bytes = std::vector<std::byte>;

template <class T>
concept Scalar = std::is_arithmetic_v<T> || std::is_enum_v<T>;

template <class T>
inline constexpr bool kIsArray = false;
template <class T, size_t N>
inline constexpr bool kIsArray<std::array<T, N>> = true;

// Shared by writing, reading and describing an object: visits its fields in order, at the offsets that C++ gives them.
// Padding is zero, so the bytes of an object depend only on its values. An object names its fields in visit().
// `Visitor` has scalar(T&), array(T*, size_t) and skip(bytes).
template <class Visitor>
class FieldWalk {
 public:
  explicit FieldWalk(Visitor& visitor) : visitor_(visitor) {}

  template <class... Ts>
  void operator()(Ts&... fields) {
    (field(fields), ...);
  }

  template <class T>
  void field(T& value) {
    align(alignof(T));
    if constexpr (Scalar<T>) {
      visitor_.scalar(value);
      at_ += sizeof(T);
    } else if constexpr (kIsArray<T>) {
      if constexpr (Scalar<typename T::value_type>) {
        visitor_.array(value.data(), value.size());
        at_ += value.size() * sizeof(typename T::value_type);
      } else {
        for (auto& element : value) field(element);
      }
    } else {
      value.visit(*this);
      align(alignof(T));
    }
  }
  size_t size() const { return at_; }

 private:
  void align(size_t to) {
    const size_t gap = (to - at_ % to) % to;
    if (gap > 0) visitor_.skip(gap);
    at_ += gap;
  }

  Visitor& visitor_;
  size_t at_ = 0;  // from the start of the object
};

class ByteWriter {
 public:
  explicit ByteWriter(Bytes& to) : to_(to) {}

  void raw(const void* data, size_t size) {
    const auto* from = static_cast<const std::byte*>(data);
    to_.insert(to_.end(), from, from + size);
  }
  template <Scalar T>
  void value(const T& value) {
    raw(&value, sizeof value);
  }
  void text(const std::string& text) {
    value(static_cast<uint64_t>(text.size()));
    raw(text.data(), text.size());
  }
  template <class T>
  void object(const T& object) {
    FieldWalk(*this).field(const_cast<T&>(object));  // a writer changes nothing
  }

  // Called by the walk.
  template <Scalar T>
  void scalar(const T& scalar) {
    value(scalar);
  }
  template <Scalar T>
  void array(const T* values, size_t count) {
    raw(values, count * sizeof(T));
  }
  void skip(size_t bytes) { to_.resize(to_.size() + bytes); }

 private:
  Bytes& to_;
};

// Throws Error if the bytes end too early.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> from) : from_(from) {}

  bool at_end() const { return from_.empty(); }
  void raw(void* data, size_t size) {
    if (size > from_.size()) throw Error("ends too soon");
    std::memcpy(data, from_.data(), size);
    from_ = from_.subspan(size);
  }
  template <Scalar T>
  T value() {
    T value;
    scalar(value);
    return value;
  }
  std::string text() {
    const auto size = value<uint64_t>();
    if (size > from_.size()) throw Error("ends too soon");
    std::string text(reinterpret_cast<const char*>(from_.data()), size);
    from_ = from_.subspan(size);
    return text;
  }
  template <class T>
  void object(T& object) {
    FieldWalk(*this).field(object);
  }

  // Called by the walk.
  template <Scalar T>
  void scalar(T& scalar) {
    if constexpr (std::is_same_v<T, bool>) {
      scalar = value<uint8_t>() != 0;
    } else {
      raw(&scalar, sizeof scalar);
    }
  }
  template <Scalar T>
  void array(T* values, size_t count) {
    raw(values, count * sizeof(T));
  }
  void skip(size_t bytes) {
    if (bytes > from_.size()) throw Error("ends too soon");
    from_ = from_.subspan(bytes);
  }

 private:
  std::span<const std::byte> from_;
};

// Describes the kinds and sizes of an object's fields in order: objects with equal descriptions can read each other's
// bytes.
class LayoutText {
 public:
  template <class T>
  static std::string of(T object) {
    LayoutText layout;
    FieldWalk walk(layout);
    walk.field(object);
    return layout.text_;
  }

  // Called by the walk.
  template <Scalar T>
  void scalar(const T&) {
    add<T>(1);
  }
  template <Scalar T>
  void array(const T*, size_t count) {
    add<T>(count);
  }
  void skip(size_t bytes) { text_ += "-" + std::to_string(bytes); }

 private:
  template <class T>
  void add(size_t count) {
    text_ += std::is_floating_point_v<T> ? "f" : std::is_same_v<T, bool> ? "b" : std::is_signed_v<T> ? "i" : "u";
    text_ += std::to_string(8 * sizeof(T)) + (count > 1 ? "x" + std::to_string(count) : "");
  }

  std::string text_;
};

}  // namespace coil::sensor
