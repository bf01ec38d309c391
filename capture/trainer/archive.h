// Saves the whole state of a training as bytes and restores it, so that it continues exactly after a crash. Only for
// the same machine.
#pragma once

#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"

namespace coil::capture {

class ArchiveWriter {
 public:
  template <class T>
  void operator()(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  template <class T, class A>
  void operator()(const std::vector<T, A>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    (*this)(values.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  template <class T>
  void list(const std::vector<T>& values) {
    (*this)(values);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// The saved sizes must equal those of the object that is restored. Throws Error.
class ArchiveReader {
 public:
  explicit ArchiveReader(std::string_view bytes) : rest_(bytes) {}

  template <class T>
  void operator()(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    copy(&value, sizeof value);
  }
  template <class T, class A>
  void operator()(std::vector<T, A>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    size_t size = 0;
    (*this)(size);
    if (size != values.size()) throw Error("the saved training is of another size");
    copy(values.data(), size * sizeof(T));
  }
  // A vector of any length.
  template <class T>
  void list(std::vector<T>& values) {
    size_t size = 0;
    (*this)(size);
    if (size > rest_.size() / sizeof(T)) throw Error("the saved training is cut off");
    values.resize(size);
    copy(values.data(), size * sizeof(T));
  }
  bool at_end() const { return rest_.empty(); }

 private:
  void copy(void* to, size_t size) {
    if (size > rest_.size()) throw Error("the saved training is cut off");
    std::memcpy(to, rest_.data(), size);
    rest_.remove_prefix(size);
  }

  std::string_view rest_;
};

}  // namespace coil::capture
