// Invariants for any bytes that are walked as a sound file; for the libFuzzer target and for the mutations of the
// ordinary tests.
#pragma once

#include <sndfile.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "cli/failure.h"
#include "cli/sound/chunk_walk.h"
#include "cli/sound/sound_view.h"

namespace coil::test {

// The same bytes, but forward only and with unknown size.
class StreamedBytes final : public cli::ByteSource {
 public:
  explicit StreamedBytes(std::span<const uint8_t> bytes) : memory_(bytes) {}
  size_t read_at(uint64_t at, std::span<uint8_t> out) override { return memory_.read_at(at, out); }
  std::optional<uint64_t> size() const override { return std::nullopt; }

 private:
  cli::MemoryBytes memory_;
};

enum class WalkOutcome { broken, other, refused, read };

// Opens the result of the walk as a sound file and reads its start.
inline WalkOutcome walk_and_read(const std::shared_ptr<cli::ByteSource>& source, size_t size) {
  constexpr int kReads = 4;
  constexpr size_t kMostChannels = 1024;
  const cli::ChunkMap map = cli::walk_chunks(*source);
  if (map.family == cli::ChunkFamily::other) return WalkOutcome::other;
  if (source->size()) {
    const auto lies_within = [&](uint64_t at, uint64_t count) { return at <= size && count <= size - at; };
    if (!lies_within(map.sound_at, map.sound_bytes) || (map.truncated && map.unfinalised)) return WalkOutcome::broken;
    for (const cli::FoundChunk& chunk : map.chunks) {
      if (!lies_within(chunk.at, chunk.size)) return WalkOutcome::broken;
    }
  }
  try {
    cli::SoundView view(source, map, "sound");
    SF_INFO info = {};
    const std::unique_ptr<SNDFILE, decltype(&sf_close)> file(view.open(info), sf_close);
    if (!file) return WalkOutcome::refused;
    if (info.channels < 1 || static_cast<size_t>(info.channels) > kMostChannels) return WalkOutcome::broken;
    std::array<float, kMostChannels> frame;
    for (int i = 0; i < kReads; ++i) sf_readf_float(file.get(), frame.data(), 1);
    view.rethrow();
    return WalkOutcome::read;
  } catch (const cli::Failure&) {
    return WalkOutcome::refused;
  }
}

}  // namespace coil::test
