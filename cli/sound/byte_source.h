// Bytes by their place: of a file, of a pipe, or in memory.
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

  // Returns how many were there, fewer than asked for only at the end.
  virtual size_t read_at(uint64_t at, std::span<uint8_t> out) = 0;

  // None: a pipe, whose end nobody knows.
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
  // Takes the descriptor over.
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

// Parts of another source, one behind the other.
class PartsOfBytes final : public ByteSource {
 public:
  explicit PartsOfBytes(std::shared_ptr<ByteSource> source) : source_(std::move(source)) {}
  void add(uint64_t at, uint64_t count);
  size_t read_at(uint64_t at, std::span<uint8_t> out) override;
  std::optional<uint64_t> size() const override { return parts_.empty() ? 0 : parts_.back().end; }

 private:
  struct Part {
    uint64_t at, end;  // in the source; and behind it, here
  };

  std::shared_ptr<ByteSource> source_;
  std::vector<Part> parts_;
};

// Reads forward only. What was read is kept, up to a limit, so that it can be read again.
class PipeBytes final : public ByteSource {
 public:
  PipeBytes(int descriptor, bool close_it, std::string name)
      : descriptor_(descriptor), close_it_(close_it), name_(std::move(name)) {}
  ~PipeBytes() override;
  PipeBytes(const PipeBytes&) = delete;
  PipeBytes& operator=(const PipeBytes&) = delete;

  // 0 where the bytes are no longer kept.
  size_t read_at(uint64_t at, std::span<uint8_t> out) override;
  std::optional<uint64_t> size() const override { return std::nullopt; }

  // From now on only little is kept.
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

// Waits until the descriptor can be read (POLLIN) or written (POLLOUT). Throws Interrupted.
void wait_for(int descriptor, short events);

}  // namespace coil::cli
