// Presents a file to libsndfile with a new header, built from the results of a walk, followed by the unchanged sound.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/sound/chunk_walk.h"

struct sf_private_tag;
struct SF_INFO;

namespace coil::cli {

class SoundView {
 public:
  // `map` is the result of walk_chunks() for `source`; its family must not be `other`. Throws Failure that starts with
  // `name` if there is no sound or no description of its format.
  SoundView(std::shared_ptr<ByteSource> source, const ChunkMap& map, const std::string& name);

  // Null if libsndfile rejects it; sf_strerror(nullptr) then gives the reason. The view must outlive the result.
  sf_private_tag* open(SF_INFO& info);

  // Rethrows what reading `source` threw, because exceptions cannot pass through libsndfile.
  void rethrow();

  const Encoding& encoding() const { return encoding_; }
  uint64_t sound_bytes() const { return sound_bytes_; }

  // The table of packets is incomplete, or lists more packets than exist.
  bool packets_are_missing() const { return packets_are_missing_; }

  // The size of the sound, if a read got less than requested; nullopt: that has not happened.
  std::optional<uint64_t> sound_that_was_there() const {
    return sound_ended_ ? std::optional(sound_read_until_) : std::nullopt;
  }

  // A pipe's sound continued after the end stated in its header.
  bool went_on() const { return went_on_; }

 private:
  struct Segment {
    std::vector<uint8_t> bytes;  // empty: `size` bytes of the source from `at` on
    uint64_t at = 0, size = 0;
    bool is_sound = false;
  };

  void add(std::vector<uint8_t> bytes);
  void add_sound();
  void build_riff();
  void build_w64();
  void build_aiff();
  void build_aiff_as_caf(uint16_t channels, uint16_t bits, const std::vector<uint8_t>& rate,
                         const std::string& encoding);
  void build_caf();
  void add_packet_table(const std::vector<uint8_t>& description);
  void build_au();
  std::vector<uint8_t> need(const std::string& id, const char* what, size_t least);

  size_t read(uint8_t* out, uint64_t count);
  size_t read_sound(const Segment& segment, uint64_t from, std::span<uint8_t> out);
  size_t read_source(const Segment& segment, uint64_t from, std::span<uint8_t> out);

  std::shared_ptr<ByteSource> source_;
  const ChunkMap map_;
  const std::string name_;
  Encoding encoding_;
  uint64_t sound_bytes_ = 0;  // as told to libsndfile
  std::vector<Segment> segments_;
  uint64_t size_ = 0, at_ = 0;
  uint64_t sound_read_until_ = 0;
  bool sound_ended_ = false;
  bool packets_are_missing_ = false;
  bool went_on_ = false, ended_ = false, opening_ = false;
  std::exception_ptr fault_;

  friend struct SoundViewCallbacks;
};

}  // namespace coil::cli
