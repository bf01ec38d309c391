// Random access to bytes: of a file, of a pipe, or in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace coil::cli {

// One thread at a time. read_at() of files and pipes throws Failure that names them, and Interrupted.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Returns the number of bytes read; fewer than requested only at the end.
  virtual size_t read_at(uint64_t at, std::span<uint8_t> out) = 0;

  // Nullopt for a pipe, whose size is unknown.
  virtual std::optional<uint64_t> size() const = 0;
};

class MemoryBytes final : public ByteSource {
 public:
  explicit MemoryBytes(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  size_t read_at(uint64_t at, std::span<uint8_t> out) override;
  std::optional<uint64_t> size() const override { return bytes_.size(); }

 private:
  std::span<const uint8_t> bytes_;
};

class FileBytes final : public ByteSource {
 public:
  // Takes ownership of the descriptor.
  FileBytes(int descriptor, std::string name);
  ~FileBytes() override;
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  size_t read_at(uint64_t at, std::span<uint8_t> out) override;
  std::optional<uint64_t> size() const override { return size_; }

 private:
  int descriptor_;
  std::string name_;
  uint64_t size_ = 0;
};

// Consecutive parts of another source.
class PartsOfBytes final : public ByteSource {
 public:
  explicit PartsOfBytes(std::shared_ptr<ByteSource> source) : source_(std::move(source)) {}
  void add(uint64_t at, uint64_t count);
  size_t read_at(uint64_t at, std::span<uint8_t> out) override;
  std::optional<uint64_t> size() const override { return parts_.empty() ? 0 : parts_.back().end; }

 private:
  struct Part {
    uint64_t at, end;  // at: position in the source; end: of the part, in this object
  };

  std::shared_ptr<ByteSource> source_;
  std::vector<Part> parts_;
};

// Reads forward only. Bytes are kept up to a limit, so that they can be read again.
class PipeBytes final : public ByteSource {
 public:
  PipeBytes(int descriptor, bool close_it, std::string name)
      : descriptor_(descriptor), close_it_(close_it), name_(std::move(name)) {}
  ~PipeBytes() override;
  PipeBytes(const PipeBytes&) = delete;
  PipeBytes& operator=(const PipeBytes&) = delete;

  // Returns 0 if the bytes are no longer kept.
  size_t read_at(uint64_t at, std::span<uint8_t> out) override;
  std::optional<uint64_t> size() const override { return std::nullopt; }

  // From now on only few bytes are kept.
  void keep_little() { most_kept_ = kLittle; }

 private:
  static constexpr size_t kLittle = 1 << 18, kMuch = 1 << 25;

  uint64_t read_until() const { return kept_from_ + kept_.size(); }
  bool read_more(uint64_t count);

  int descriptor_;
  bool close_it_;
  std::string name_;
  uint64_t kept_from_ = 0;
  std::vector<uint8_t> kept_;
  size_t most_kept_ = kMuch;
};

// Waits until the descriptor is readable (POLLIN) or writable (POLLOUT). Throws Interrupted.
void wait_for(int descriptor, short events);

}  // namespace coil::cli
