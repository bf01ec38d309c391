// Thousands of damaged sound files, from fixed seeds: each must be read, or rejected with a Failure.
#include <sndfile.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "tests/fuzz/chunk_walk_check.h"
#include "tests/support/temp_dir.h"

namespace {

using namespace coil;

std::string made(int format, int channels = 2) {
  const test::TempDir folder;
  SF_INFO info = {};
  info.samplerate = 48000;
  info.channels = channels;
  info.format = format;
  SNDFILE* file = sf_open((folder / "sound").c_str(), SFM_WRITE, &info);
  REQUIRE(file != nullptr);
  sf_set_string(file, SF_STR_TITLE, "A title");
  sf_set_string(file, SF_STR_COMMENT, "A remark");
  const std::vector<float> samples(size_t(120 * channels), 0.25f);
  sf_writef_float(file, samples.data(), 120);
  sf_close(file);
  std::ifstream bytes(folder / "sound", std::ios::binary);
  std::ostringstream text;
  text << bytes.rdbuf();
  return text.str();
}

std::string mutated(std::string bytes, std::mt19937& random) {
  static const std::vector<std::string> kTokens = {"data",
                                                   "fmt ",
                                                   "LIST",
                                                   "INFO",
                                                   "SSND",
                                                   "COMM",
                                                   "MARK",
                                                   "cue ",
                                                   "smpl",
                                                   "bext",
                                                   "ds64",
                                                   "desc",
                                                   "pakt",
                                                   "kuki",
                                                   "chan",
                                                   std::string(4, '\0'),
                                                   std::string(4, '\xff'),
                                                   std::string(8, '\xff'),
                                                   std::string("\x10\0\0\0", 4),
                                                   std::string("\0\0\0\x10", 4),
                                                   std::string("\xf8\xff\xff\xff", 4),
                                                   std::string("\x7f\xff\xff\xff", 4),
                                                   std::string("\0\0\0\x80", 4)};
  const auto below = [&](size_t count) { return random() % std::max<size_t>(count, 1); };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(std::min<size_t>(bytes.size(), 300));
    switch (below(5)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1: {
        const std::string& token = kTokens[below(kTokens.size())];
        bytes.replace(at, std::min(token.size(), bytes.size() - at), token);
        break;
      }
      case 2:
        bytes.insert(at, kTokens[below(kTokens.size())]);
        break;
      case 3:
        bytes.erase(at, 1 + below(8));
        break;
      default:
        bytes.resize(below(bytes.size()));
    }
    if (bytes.empty()) bytes = "RIFF";
  }
  return bytes;
}

TEST_CASE("mutated sound files are read or refused") {
  constexpr int kMutations = 20000;
  std::vector<std::string> files;
  for (int format :
       {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG,
        SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, SF_FORMAT_RF64 | SF_FORMAT_FLOAT, SF_FORMAT_W64 | SF_FORMAT_PCM_16,
        SF_FORMAT_AIFF | SF_FORMAT_PCM_16, SF_FORMAT_AIFF | SF_FORMAT_IMA_ADPCM, SF_FORMAT_CAF | SF_FORMAT_PCM_16,
        SF_FORMAT_CAF | SF_FORMAT_ALAC_16, SF_FORMAT_AU | SF_FORMAT_PCM_16, SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM,
        SF_FORMAT_WAV | SF_FORMAT_MS_ADPCM}) {
    files.push_back(made(format));
  }
  int counts[4] = {};
  for (int i = 0; i < kMutations; ++i) {
    INFO("mutation " << i);
    std::mt19937 random(static_cast<unsigned>(i));
    const std::string bytes = mutated(files[random() % files.size()], random);
    const std::span<const uint8_t> span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    const auto as_file = test::walk_and_read(std::make_shared<cli::MemoryBytes>(span), bytes.size());
    const auto as_pipe = test::walk_and_read(std::make_shared<test::StreamedBytes>(span), bytes.size());
    REQUIRE(as_file != test::WalkOutcome::broken);
    REQUIRE(as_pipe != test::WalkOutcome::broken);
    ++counts[static_cast<int>(as_file)];
  }
  // Each outcome must be frequent, otherwise the mutations test nothing.
  CHECK(counts[static_cast<int>(test::WalkOutcome::refused)] > 1000);
  CHECK(counts[static_cast<int>(test::WalkOutcome::read)] > 5000);
}

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
// In a separate process with a limit on additional memory; nullopt: it did not finish.
std::optional<test::WalkOutcome> walk_with_little_memory(const std::string& bytes, uint64_t most_bytes) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t most = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) + most_bytes;
    const rlimit limit = {most, most};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) ::_exit(100);
    const std::span<const uint8_t> span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    ::_exit(static_cast<int>(test::walk_and_read(std::make_shared<test::StreamedBytes>(span), bytes.size())));
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) >= 100) return std::nullopt;
  return static_cast<test::WalkOutcome>(WEXITSTATUS(status));
}

TEST_CASE("a pipe whose header states 4 GB of sound allocates no memory for it") {
  struct Container {
    int format;
    std::string chunk;
    size_t size_bytes;
    bool big_endian;
    int channels = 2;
  };
  const std::vector<Container> containers = {
      {SF_FORMAT_WAV | SF_FORMAT_PCM_16, "data", 4, false},    {SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, "data", 4, false},
      {SF_FORMAT_WAV | SF_FORMAT_MS_ADPCM, "data", 4, false},  {SF_FORMAT_WAV | SF_FORMAT_GSM610, "data", 4, false, 1},
      {SF_FORMAT_W64 | SF_FORMAT_IMA_ADPCM, "data", 8, false}, {SF_FORMAT_AIFF | SF_FORMAT_IMA_ADPCM, "SSND", 4, true},
      {SF_FORMAT_CAF | SF_FORMAT_ALAC_16, "data", 8, true},    {SF_FORMAT_CAF | SF_FORMAT_ALAC_16, "pakt", 8, true},
      {SF_FORMAT_AU | SF_FORMAT_G721_32, "", 4, true, 1}};
  for (const Container& container : containers) {
    const std::string whole = made(container.format, container.channels);
    for (const uint64_t size : {0xffffffffu, 0xfffffff0u, 0xffff0000u, 0xf0000000u, 0x80000000u}) {
      std::string bytes = whole;
      size_t at = container.chunk.empty() ? 8 : bytes.find(container.chunk) + container.chunk.size();
      if ((container.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_W64) at += 12;  // after the rest of a GUID
      for (size_t i = 0; i < container.size_bytes; ++i) {
        const size_t place = container.big_endian ? container.size_bytes - 1 - i : i;
        bytes[at + place] = static_cast<char>(size >> 8 * std::min<size_t>(i, 7) & (i < 4 ? 0xff : 0));
      }
      INFO("format " << std::hex << container.format << ", chunk " << container.chunk << ", size " << size);
      const std::optional<test::WalkOutcome> outcome = walk_with_little_memory(bytes, uint64_t{256} << 20);
      REQUIRE(outcome);
      // libsndfile counts the samples of some encodings in 32 bits, and rejects more.
      const bool may_be_refused = size != UINT32_MAX || container.chunk == "pakt" || container.size_bytes == 8;
      CHECK((*outcome == test::WalkOutcome::read || (may_be_refused && *outcome == test::WalkOutcome::refused)));
    }
  }
}
#endif

}  // namespace
