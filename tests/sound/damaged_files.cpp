// Every container with every damage: all remaining sound is read, and faults are reported, from files and through
// pipes.
#include <fcntl.h>
#include <sndfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cli/failure.h"
#include "cli/sound/byte_order.h"
#include "cli/sound/chunk_walk.h"
#include "cli/sound/sound_reader.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

constexpr int kFrames = 1200, kChannels = 2;

// Where a container states its size.
struct Container {
  const char* name;
  int format;
  std::string sound_id;  // empty: the size is at `size_at`
  size_t size_at;        // after the id, or from the start of the file
  size_t size_bytes;
  uint64_t counted_besides;  // bytes besides the sound that the size includes
  size_t form_size_at;       // 0: none
  bool big_endian;
};

const std::vector<Container>& containers() {
  static const std::vector<Container> all = {
      {"WAV", SF_FORMAT_WAV, "data", 4, 4, 0, 4, false},
      {"WAVEX", SF_FORMAT_WAVEX, "data", 4, 4, 0, 4, false},
      {"RIFX", SF_FORMAT_WAV | SF_ENDIAN_BIG, "data", 4, 4, 0, 4, true},
      {"RF64", SF_FORMAT_RF64, "", 28, 8, 0, 20, false},
      {"W64", SF_FORMAT_W64, "data\xf3\xac", 16, 8, 24, 16, false},
      {"AIFF", SF_FORMAT_AIFF, "SSND", 4, 4, 8, 4, true},
      {"AIFC", SF_FORMAT_AIFF | SF_ENDIAN_LITTLE, "SSND", 4, 4, 8, 4, true},
      {"CAF", SF_FORMAT_CAF, "data", 4, 8, 4, 0, true},
      {"CAF little-endian", SF_FORMAT_CAF | SF_ENDIAN_LITTLE, "data", 4, 8, 4, 0, true},
      {"AU", SF_FORMAT_AU, "", 8, 4, 0, 0, true},
      {"AU little-endian", SF_FORMAT_AU | SF_ENDIAN_LITTLE, "", 8, 4, 0, 0, false},
  };
  return all;
}

struct Sound {
  std::string bytes;
  size_t size_at = 0, sound_at = 0, sound_bytes = 0;

  void put(size_t at, uint64_t value, size_t count, bool big_endian) {
    std::vector<uint8_t> number;
    cli::put_number(number, value, static_cast<int>(count), big_endian);
    std::copy(number.begin(), number.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  void set_size(const Container& container, uint64_t value) {
    put(size_at, value, container.size_bytes, container.big_endian);
  }
  void set_form_size(const Container& container, uint64_t value) {
    if (container.form_size_at == 0) return;
    const size_t count = container.size_bytes;
    put(container.form_size_at, value, count, container.big_endian);
  }
};

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<float> samples_of() {
  std::vector<float> samples(kFrames * kChannels);
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = 0.8f * std::sin(0.05f * static_cast<float>(i) + 1);
  return samples;
}

Sound made(const Container& container, int encoding) {
  const test::TempDir folder;
  SF_INFO info = {};
  info.samplerate = 48000;
  info.channels = kChannels;
  info.format = container.format | encoding;
  SNDFILE* file = sf_open((folder / "sound").c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  sf_command(file, SFC_SET_ADD_PEAK_CHUNK, nullptr, SF_FALSE);
  const std::vector<float> samples = samples_of();
  sf_writef_float(file, samples.data(), kFrames);
  sf_close(file);
  Sound sound;
  sound.bytes = bytes_of(folder / "sound");
  const size_t id_at = container.sound_id.empty() ? 0 : sound.bytes.find(container.sound_id);
  sound.size_at = id_at + container.size_at;
  cli::MemoryBytes source({reinterpret_cast<const uint8_t*>(sound.bytes.data()), sound.bytes.size()});
  const cli::ChunkMap map = cli::walk_chunks(source);
  sound.sound_at = map.sound_at;
  sound.sound_bytes = map.sound_bytes;
  return sound;
}

struct Read {
  std::vector<float> samples;
  bool truncated = false, unfinalised = false;
};

Read read_all(const std::filesystem::path& path) {
  const auto reader = cli::open_reader(path);
  Read result;
  std::vector<float> block(500 * static_cast<size_t>(reader->info().channels));
  while (const int64_t frames = reader->read(block)) {
    result.samples.insert(result.samples.end(), block.begin(), block.begin() + frames * reader->info().channels);
  }
  result.truncated = reader->faults().truncated;
  result.unfinalised = reader->faults().unfinalised;
  return result;
}

Read read_file(const std::string& bytes) {
  const test::TempDir folder;
  std::ofstream(folder / "sound", std::ios::binary) << bytes;
  return read_all(folder / "sound");
}

Read read_pipe(const std::string& bytes) {
  const test::TempDir folder;
  const std::filesystem::path path = folder / "pipe";
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  std::thread writer([&] { std::ofstream(path, std::ios::binary) << bytes; });
  Read result;
  try {
    result = read_all(path);
  } catch (...) {
    writer.join();
    throw;
  }
  writer.join();
  return result;
}

bool begins_with(const std::vector<float>& whole, const std::vector<float>& part) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

constexpr int kEncodings[] = {SF_FORMAT_PCM_16, SF_FORMAT_PCM_24, SF_FORMAT_FLOAT, SF_FORMAT_ULAW};

// Makes each container in each encoding, damages it, and compares the result with the undamaged sound.
void check(const std::function<void(const Container&, Sound&)>& damage, int frames, bool truncated, bool unfinalised,
           bool through_pipes, bool unfinalised_in_pipes) {
  for (const Container& container : containers()) {
    for (int encoding : kEncodings) {
      INFO(container.name << ", encoding " << encoding);
      SF_INFO info = {0, 48000, kChannels, container.format | encoding, 0, 0};
      if (sf_format_check(&info) == 0) continue;
      Sound sound = made(container, encoding);
      const Read whole = read_file(sound.bytes);
      REQUIRE(whole.samples.size() == kFrames * kChannels);
      REQUIRE((!whole.truncated && !whole.unfinalised));
      damage(container, sound);
      const Read read = read_file(sound.bytes);
      CHECK(read.samples.size() == static_cast<size_t>(frames * kChannels));
      CHECK(begins_with(whole.samples, read.samples));
      CHECK(read.truncated == truncated);
      CHECK(read.unfinalised == unfinalised);
      if (!through_pipes) continue;
      const Read piped = read_pipe(sound.bytes);
      CHECK(piped.samples == read.samples);
      CHECK(piped.truncated == truncated);
      CHECK(piped.unfinalised == unfinalised_in_pipes);
    }
  }
}

TEST_CASE("an undamaged file has nothing to be said of") {
  check([](const Container&, Sound&) {}, kFrames, false, false, true, false);
}

TEST_CASE("a size of 0 or of all ones in a file that was never finalised") {
  for (uint64_t size : {uint64_t{0}, UINT64_MAX}) {
    check(
        [&](const Container& container, Sound& sound) {
          sound.set_size(container, size);
          sound.set_form_size(container, size);
        },
        kFrames, false, true, true, false);
  }
}

TEST_CASE("a size that counts what the header counts, and no sound") {
  check(
      [](const Container& container, Sound& sound) {
        sound.set_size(container, container.counted_besides);
        sound.set_form_size(container, sound.sound_at);
      },
      kFrames, false, true, true, false);
}

TEST_CASE("sizes that are too small, with sound after them") {
  check(
      [](const Container& container, Sound& sound) {
        sound.set_size(container, sound.sound_bytes / 4 + container.counted_besides);
        sound.set_form_size(container, sound.sound_at + sound.sound_bytes / 4 - 8);
      },
      kFrames, false, true, true, true);
}

TEST_CASE("a file that was cut off") {
  check([](const Container&, Sound& sound) { sound.bytes.resize(sound.sound_at + sound.sound_bytes / 3); }, kFrames / 3,
        true, false, true, false);
}

TEST_CASE("a size of 3 GB, and of 3 TB where there is room for it") {
  check(
      [](const Container& container, Sound& sound) {
        sound.set_size(container, container.size_bytes == 8 ? 3000000000000 : 3000000000);
        sound.set_form_size(container, container.size_bytes == 8 ? 3000000000100 : 3000000100);
      },
      kFrames, true, false, true, false);
}

TEST_CASE("a form whose stated size is 8 bytes too large, or unknown") {
  check(
      [](const Container& container, Sound& sound) {
        sound.set_form_size(container, sound.bytes.size() + (container.form_size_at == 16 ? 8 : 0));
      },
      kFrames, false, false, true, false);
  check([](const Container& container, Sound& sound) { sound.set_form_size(container, UINT64_MAX); }, kFrames, false,
        false, true, false);
}

TEST_CASE("zeros behind the sound are padding") {
  check(
      [](const Container&, Sound& sound) {
        sound.bytes.resize(sound.sound_at + sound.sound_bytes);
        sound.bytes.append(512, '\0');
      },
      kFrames, false, false, false, false);
}

std::string chunk_of(const Container& container, const std::string& id, const std::string& content) {
  std::vector<uint8_t> head;
  const bool is_w64 = container.format == SF_FORMAT_W64;
  cli::put_text(head, is_w64 ? cli::w64_guid(id) : id);
  cli::put_number(head, content.size() + (is_w64 ? 24 : 0),
                  is_w64                     ? 8
                  : container.name[0] == 'C' ? 8
                                             : 4,
                  container.big_endian);
  return std::string(head.begin(), head.end()) + content;
}

bool has_chunks(const Container& container) {
  return container.name != std::string("AU") && container.name != std::string("AU little-endian");
}

TEST_CASE("chunks after the sound are not taken for sound") {
  for (const char* id : {"LIST", "iXML", "abcd"}) {
    check(
        [&](const Container& container, Sound& sound) {
          if (has_chunks(container)) sound.bytes += chunk_of(container, id, std::string("INFOIART\4\0\0\0Name", 16));
        },
        kFrames, false, false, true, false);
  }
}

TEST_CASE("a chunk before the sound with a wrong size") {
  for (uint64_t size : {uint64_t{3}, uint64_t{300}, uint64_t{0x7ffffff0}, UINT64_MAX - 8}) {
    check(
        [&](const Container& container, Sound& sound) {
          if (!has_chunks(container)) return;
          std::string chunk = chunk_of(container, "LIST", std::string("INFOIART\x08\0\0\0Somebody", 20));
          const bool wide = container.format == SF_FORMAT_W64 || container.name[0] == 'C';
          std::vector<uint8_t> number;
          cli::put_number(number, size, wide ? 8 : 4, container.big_endian);
          std::copy(number.begin(), number.end(), chunk.begin() + (container.format == SF_FORMAT_W64 ? 16 : 4));
          const size_t header = container.format == SF_FORMAT_W64 ? 24
                                : container.name[0] == 'C'        ? 16
                                : container.sound_id == "SSND"    ? 16
                                                                  : 8;
          sound.bytes.insert(sound.sound_at - header, chunk);
        },
        kFrames, false, false, false, false);
  }
}

TEST_CASE("a chunk whose size leads back to the file's beginning") {
  for (const Container& container : containers()) {
    if (container.format != SF_FORMAT_W64) continue;
    Sound sound = made(container, SF_FORMAT_PCM_16);
    sound.put(40 + 16, UINT64_MAX - 39, 8, false);  // modulo 2^64, the file's first byte follows it
    CHECK_THROWS_AS(read_pipe(sound.bytes), cli::Failure);
    CHECK_THROWS_AS(read_file(sound.bytes), cli::Failure);
  }
}

TEST_CASE("an empty file is empty") {
  for (const Container& container : containers()) {
    INFO(container.name);
    Sound sound = made(container, SF_FORMAT_PCM_16);
    sound.bytes.resize(sound.sound_at);
    if (const size_t common = sound.bytes.find("COMM"); common != std::string::npos) sound.put(common + 10, 0, 4, true);
    sound.set_size(container, container.counted_besides);
    sound.set_form_size(container, sound.bytes.size() - (container.form_size_at == 16 ? 0 : 8));
    const std::string chunk = has_chunks(container) ? chunk_of(container, "LIST", "INFO") : "";
    for (const std::string& bytes : {sound.bytes, sound.bytes + chunk}) {
      const Read read = read_file(bytes);
      CHECK(read.samples.empty());
      CHECK((!read.truncated && !read.unfinalised));
      CHECK(read_pipe(bytes).samples.empty());
    }
  }
}

TEST_CASE("sound without a description of its format is rejected") {
  for (const Container& container : containers()) {
    INFO(container.name);
    if (!has_chunks(container)) continue;
    Sound sound = made(container, SF_FORMAT_PCM_16);
    for (const char* id : {"fmt ", "COMM", "desc"}) {
      const size_t at = sound.bytes.find(id);
      if (at != std::string::npos) sound.bytes[at] = 'x';
    }
    CHECK_THROWS_AS(read_file(sound.bytes), cli::Failure);
    CHECK_THROWS_AS(read_pipe(sound.bytes), cli::Failure);
  }
}

}  // namespace
